"""Defaults of the simulator, light enough for `kennel --help`."""

from pathlib import Path

STARTUP_SECONDS = 300  # an assumption: AWS promises nothing; a large image takes longer
ROOM = 64  # requests that one instance holds: KENNEL_MAX_IN_FLIGHT of our server
PAGE = Path("scaling.html")

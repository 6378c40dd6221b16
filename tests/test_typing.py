"""Which rooms mypy checks strictly. That it finds nothing is said by `make lint`."""

import tomllib

from rooms import FENCES, MAY_IMPORT
from training import REPOSITORY


def test_every_room_that_is_not_torchs_is_checked_strictly():
    """Torch is not followed, so most of what those rooms compute with would be Any."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"]
    assert set(settings["packages"]) == set(MAY_IMPORT) - set(FENCES["torch"])

"""Remembered: what a multi-model server has loaded, for the process that follows a killed one.

SageMaker believes a model to be loaded until it has unloaded it. gunicorn replaces a process that
was killed, out of memory say, and the new one must hold what the old one held.
"""

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from contract.errors import HostError, SpecError
from contract.files import read_json, remove_leftovers, write_json

log = logging.getLogger(__name__)

# More starts than this within the window, and what was loaded is what kills the process.
MOST_STARTS = 4
WINDOW_SECONDS = 300.0
_MODELS, _STARTS = "models", "starts"


class Remembered:
    """One small file a model, in a folder that lives as long as the server's main process."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder nothing is remembered."""
        self._folder = folder
        if folder is not None:
            try:
                _make_private(folder)
            except OSError as error:
                self._give_up(error)

    def note_start(self) -> int:
        """Call once a process: how many there were within the last five minutes, this one too."""
        if self._folder is None:
            return 1
        starts = self._folder / _STARTS
        try:
            starts.mkdir(exist_ok=True)
            (starts / f"{time.time_ns()}").touch()
            oldest = time.time_ns() - int(WINDOW_SECONDS * 1e9)
            return sum(int(path.name) >= oldest for path in starts.iterdir())
        except OSError as error:
            self._give_up(error)
            return 1

    def add(self, name: str, url: str) -> None:
        """The model is loaded."""
        if self._folder is None:
            return
        try:
            write_json(self._file(self._folder, name), {"name": name, "url": url})
        except HostError as error:
            self._give_up(error)

    def remove(self, name: str) -> None:
        """The model is unloaded."""
        if self._folder is None:
            return
        try:
            self._file(self._folder, name).unlink(missing_ok=True)
        except OSError as error:
            self._give_up(error)

    def entries(self) -> Mapping[str, str]:
        """Url by name, as it was when the process before this one ended."""
        if self._folder is None:
            return {}
        remove_leftovers(self._folder / _MODELS)
        files = sorted((self._folder / _MODELS).glob("*.json"))
        values = [read_json(path, SpecError) for path in files]
        return {str(value["name"]): str(value["url"]) for value in values}

    def _file(self, folder: Path, name: str) -> Path:
        """Names hold anything, so the file is called by the digest."""
        return folder / _MODELS / f"{hashlib.sha256(name.encode()).hexdigest()}.json"

    def _give_up(self, error: Exception) -> None:
        log.warning("a process that is killed will be replaced by one without models: %s", error)
        self._folder = None


def scratch_folder(main_pid: int) -> Path | None:
    """The temporary folder of the server whose main process this is; None where that is unsure.

    Its name holds when the process started: process 1 of a restarted container is another one.
    """
    try:
        stat = Path("/proc", str(main_pid), "stat").read_text(encoding="ascii", errors="replace")
        started = stat.rpartition(")")[2].split()[19]  # field 22; the name before may hold spaces
        return Path(tempfile.gettempdir(), f"kennel-multi-{main_pid}-{started}")
    except (OSError, IndexError):  # no /proc, as on macOS, or no writable folder
        return None


def _make_private(folder: Path) -> None:
    """Raises OSError: it is not ours. What is in it will be loaded, and may bring code."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} belongs to another user")

"""The end of a host's profile: whole timelines also of processes that died, one trace, markers."""

import os
import time
from pathlib import Path

from train.profile_place import END_NAME, ProfilePlace
from train.run_trace import write_run_trace
from train.trace_file import complete, read_events

_POLL_SECONDS = 0.1


def finish_profile(place: ProfilePlace, wait_seconds: float = 2.0) -> dict[str, int]:
    """Leave everything as readers expect it; what is there, in numbers. Raises OSError.

    Processes that still write their timelines are waited for, and then left alone.
    """
    deadline = time.monotonic() + wait_seconds
    for path in place.open_timelines():
        while path.exists() and _is_running(_writer_of(path)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if path.exists() and not _is_running(_writer_of(path)):
            complete(path)
    counts = write_run_trace(place)
    for folder in (place.system, place.framework):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / END_NAME).touch()
    return counts


def _writer_of(path: Path) -> int:
    """The process, as the file's first line names it; 0 where it does not."""
    try:
        first = next(read_events(path), {})
    except OSError:  # it has just been given its final name
        return 0
    return int(first.get("args", {}).get("pid", 0))


def _is_running(pid: int) -> bool:
    """False also of one that has ended and that nobody has asked about."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OSError:  # no /proc here
        return True
    return state.rpartition(")")[2].split()[:1] != ["Z"]

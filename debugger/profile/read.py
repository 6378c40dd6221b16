"""Reading a profile: system metrics and timelines of all hosts of a job."""

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from contract.errors import HostError, KennelError
from contract.files import read_json
from debugger.profile.data import Events, NodeMetrics, Profile
from debugger.profile.system_files import find_system_files, read_system_files
from debugger.profile.timeline_files import find_timeline_files, read_timeline_files

END_MARK = "training_job_end.ts"
AGENT_NAME = "agent.json"  # what our host agent says of itself
_MINUTE = 60
# Below a job's folder, that of a further host (hosts/algo-2), or a job's prefix in S3.
_BELOW = ("output/profiler", "profiler-output", "output/profiler-output", "profiler")


def find_profiler_folders(source: Path) -> tuple[Path, ...]:
    """The folders with `system` or `framework` that belong to a job; empty when there is none.

    Args:
        source: a job's folder (output/profiler, and hosts/*/output/profiler), a job's prefix as it
            was downloaded (profiler-output), or a profiler folder itself.
    """
    if _is_profiler_folder(source):
        return (source,)
    roots = [source]
    if (source / "hosts").is_dir():
        roots += sorted((source / "hosts").iterdir(), key=_natural)
    found = [root / below for root in roots for below in _BELOW]
    return tuple(folder for folder in found if _is_profiler_folder(folder))


def read_profile(folders: Sequence[Path]) -> Profile:
    """What lies below the profiler folders of a job's hosts, or below one that they share.

    Bad files and lines never stop it: they are left out and named in `Profile.notes`. Two million
    lines of metrics and 1.2 million events, an hour of two large hosts, take 10 s of one core and
    0.55 GB of memory.
    """
    folders = tuple({folder.resolve(): folder for folder in folders}.values())  # each once
    system_files = [found for folder in folders for found in find_system_files(folder)]
    with _no_collections():
        system, system_notes = read_system_files([path for _, path in system_files])
        events, event_notes = read_timeline_files(
            [path for folder in folders for path in find_timeline_files(folder)]
        )
    started_at, ended_at = _extent(system, events)
    first_minute = min((minute for minute, _ in system_files), default=None)
    return Profile(
        system=system,
        events=events,
        first_file_at=started_at // _MINUTE * _MINUTE if first_minute is None else first_minute,
        started_at=started_at,
        ended_at=ended_at,
        has_ended=bool(folders) and all(_has_ended(folder) for folder in folders),
        notes=(*system_notes, *event_notes),
        cpu_limits=_cpu_limits(folders),
        folders=folders,
    )


def _is_profiler_folder(folder: Path) -> bool:
    return (folder / "system").is_dir() or (folder / "framework").is_dir()


def _natural(path: Path) -> tuple[int, str]:
    """algo-2 before algo-10."""
    number = re.search(r"\d+$", path.name)
    return (int(number[0]) if number else 0, path.name)


def _has_ended(folder: Path) -> bool:
    return any((folder / kind / END_MARK).exists() for kind in ("system", "framework", "."))


def _cpu_limits(folders: Sequence[Path]) -> dict[str, float]:
    """What our host agents say of their containers; AWS's agent says nothing."""
    limits: dict[str, float] = {}
    for folder in folders:
        path = folder / "system" / AGENT_NAME
        try:
            told = read_json(path, HostError) if path.exists() else {}
            if told.get("cpu_limit"):
                limits[str(told["node"])] = float(told["cpu_limit"])
        except (KennelError, AttributeError, KeyError, TypeError, ValueError):
            continue  # it is no more than a hint
    return limits


def _extent(system: dict[str, NodeMetrics], events: Events) -> tuple[float, float]:
    """From the first sample or event to the end of the last; zeros when there is nothing."""
    series = [
        one for node in system.values() for named in node.series.values() for one in named.values()
    ]
    firsts = [one.times[0] for one in series if len(one.times)]
    lasts = [one.times[-1] for one in series if len(one.times)]
    if len(events):
        firsts.append(events.starts[0])
        lasts.append((events.starts + events.seconds).max())
    return (float(min(firsts)), float(max(lasts))) if firsts else (0.0, 0.0)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Millions of small objects are made and none of them in cycles: looking for such costs
    half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

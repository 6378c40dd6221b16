"""For the tests of the profiler: jobs that are measured, and what they leave."""

import gzip
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from training import COUNTS, TINY, WAIT_SECONDS, run_job

from contract.opt_ml import write_job
from contract.profiler_config import ProfilerConfig
from train.profile_place import ProfilePlace
from train.trace_file import read_events

STEPS = 5  # an epoch, of 36 pictures in batches of 8: the last is half a batch
WITHIN = ("DataLoaderIter", "Copy", "Forward", "Backward(post-forward)", "Optimizer")


def lay_out_profiled(
    base: Path, pictures: Path, config: ProfilerConfig | None = None, **changes: str
) -> Path:
    """A tiny job below `base` that is measured; `changes` are hyperparameters, `_` for `-`."""
    given = {**TINY, **{name.replace("_", "-"): text for name, text in changes.items()}}
    channels = {name: pictures / name for name in COUNTS}
    write_job(base, given, channels, profiler=config or ProfilerConfig(interval_ms=100))
    return base


def run_profiled(base: Path) -> tuple[int, str]:
    """The job below `base`, in this process: exit code and stdout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_BASE_DIR", str(base))
        return run_job([])


@dataclass(frozen=True, kw_only=True)
class Event:
    """A span of a timeline, read without smdebug."""

    phase: str
    name: str
    start_us: int  # Unix
    end_us: int
    args: dict[str, Any]

    @property
    def step(self) -> int:
        """-2 outside of all steps."""
        return int(self.args["step_num"])


def place_of(base: Path, node: str = "algo-1") -> ProfilePlace:
    """Of a job's folder."""
    return ProfilePlace(folder=base / "output" / "profiler", node=node)


def events_of(path: Path) -> list[Event]:
    """A timeline, which has to be one JSON array with the names of phases before their spans."""
    base_us, phases, found = 0, dict[int, str](), []
    for event in json.loads(path.read_text()):
        args = event["args"]
        if event["ph"] == "M":
            base_us = args.get("start_time_since_epoch_in_micros", base_us)
            phases.update({event["pid"]: args["name"]} if "name" in args else {})
            continue
        start_us = base_us + event["ts"]
        phase = phases[event["pid"]]
        end_us = start_us + event["dur"]
        found.append(
            Event(phase=phase, name=event["name"], start_us=start_us, end_us=end_us, args=args)
        )
    assert len(found) == sum(1 for event in read_events(path) if event["ph"] == "X")
    return found


def all_events(place: ProfilePlace) -> list[Event]:
    """Of all timelines of a host, in the order of their starts."""
    found = [event for path in place.closed_timelines() for event in events_of(path)]
    return sorted(found, key=lambda event: event.start_us)


def of_phase(events: list[Event], phase: str) -> list[Event]:
    """Those of one phase."""
    return [event for event in events if event.phase == phase]


def ticks_of(place: ProfilePlace) -> dict[float, list[dict[str, Any]]]:
    """All lines of a host's system files, by their time."""
    ticks: dict[float, list[dict[str, Any]]] = {}
    for path in place.system_files():
        for line in path.read_text().splitlines():
            value = json.loads(line)
            ticks.setdefault(value["Timestamp"], []).append(value)
    return ticks


def await_ticks(place: ProfilePlace, count: int) -> None:
    """Wait until there are so many."""
    deadline = time.monotonic() + WAIT_SECONDS
    while len(ticks_of(place)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def agent_facts(place: ProfilePlace) -> dict[str, Any]:
    """What the agent says of itself."""
    facts: dict[str, Any] = json.loads((place.system / "agent.json").read_text())
    return facts


def run_trace(place: ProfilePlace) -> dict[str, Any]:
    """The one trace of the run."""
    with gzip.open(place.framework / "trace.json.gz") as file:
        trace: dict[str, Any] = json.load(file)
    return trace


def assert_complete(place: ProfilePlace) -> None:
    """Nothing is open, everything can be read, and readers know that nothing follows."""
    assert place.open_timelines() == []
    for folder in (place.system, place.framework):
        assert (folder / "training_job_end.ts").read_bytes() == b""
    assert agent_facts(place)["has_ended"]
    assert ticks_of(place)
    run_trace(place)


def is_running(pid: int) -> bool:
    """False also of a process that has ended and that nobody has asked about."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def await_end(pid: int) -> None:
    """Wait for a process that is not our child."""
    deadline = time.monotonic() + WAIT_SECONDS
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)

"""Steps that took much longer than most, and what was different then."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debugger.profile import summary
from debugger.profile.facts import Facts
from debugger.profile.intervals import Intervals
from debugger.profile.numbers import in_percent, in_seconds
from debugger.profile.phases import CHECKPOINT, EVALUATE, LOADER_START
from debugger.profile.samples import mean_during
from debugger.profile.steps import Steps
from debugger.profile.summary import Outlier

LEAST_STEPS = 20  # fewer have no usual length
_LEAST_EXCESS = 1.1  # times the median: below it a step is as usual, however even the others are
_BUSIER = 1.25  # times the usual use of the CPU
_WAITS_FOR_IO = 20.0  # percent of a core's time
STARTS = "the loader started its workers"  # in a cause
MOST = 50  # of which the cause is looked up


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The outliers of one process and mode."""

    steps: Steps
    limit: float  # seconds
    places: NDArray[np.intp]  # in `steps`, ascending

    @property
    def lost_seconds(self) -> float:
        """What they took above the usual, summed."""
        seconds = self.steps.seconds
        return float((seconds[self.places] - np.median(seconds)).sum())


def find_outliers(steps: Steps, stddev: float) -> Found:
    """Those above the mean by `stddev` standard deviations, as AWS has it, and above the median
    by a tenth."""
    seconds = steps.seconds
    limit = float(seconds.mean() + stddev * seconds.std())
    limit = max(limit, _LEAST_EXCESS * float(np.median(seconds)))
    return Found(steps=steps, limit=limit, places=np.flatnonzero(seconds > limit))


def explain(facts: Facts, found: Found) -> list[Outlier]:
    """The longest ones, with their causes."""
    order = np.argsort(-found.steps.seconds[found.places], kind="stable")[:MOST]
    measured = found.steps.is_measured
    medians = {
        name: float(np.median(part[measured]))
        for name, part in found.steps.parts.items()
        if measured.any()
    }
    return [_explain(facts, found.steps, int(found.places[one]), medians) for one in order]


def _explain(facts: Facts, steps: Steps, place: int, medians: dict[str, float]) -> Outlier:
    start, seconds = float(steps.starts[place]), float(steps.seconds[place])
    usual = float(np.median(steps.seconds))
    known = medians if steps.is_measured[place] else {}
    excess = {name: float(steps.parts[name][place]) - medians[name] for name in known}
    part = max(excess, key=lambda name: excess[name]) if excess else summary.REST
    took = float(steps.parts[part][place]) if excess else seconds
    then: Intervals = np.array([[start, start + seconds]])
    cpu = mean_during(facts.cpu.get(steps.host), then)
    io_wait = mean_during(facts.io_wait.get(steps.host), then)
    part_usual = medians[part] if excess else usual
    what = f"{part} took {in_seconds(took)} instead of {in_seconds(part_usual)}"
    if not excess:
        what = f"it took {in_seconds(seconds)} instead of {in_seconds(usual)}"
    why = _why(facts, steps, place, part, (cpu, io_wait))
    return Outlier(
        node=steps.node,
        mode=steps.mode,
        step=int(steps.numbers[place]),
        started_at=start,
        seconds=seconds,
        usual_seconds=usual,
        part=part,
        part_seconds=took,
        part_usual_seconds=part_usual,
        cpu_percent=cpu,
        io_wait_percent=io_wait,
        cause=f"{what}{why}",
    )


def _why(
    facts: Facts, steps: Steps, place: int, part: str, use: tuple[float | None, float | None]
) -> str:
    """What the system did then; an empty text when nothing is known."""
    start, end = float(steps.starts[place]), float(steps.ends[place])
    if part == summary.WAIT and _overlaps(facts, LOADER_START, steps.node, (start, end)):
        return f": an epoch began, and {STARTS}"
    if place == 0:
        return ": it is the first one, which prepares everything"
    for phase, said in ((CHECKPOINT, "a checkpoint was written"), (EVALUATE, "an evaluation ran")):
        if _overlaps(facts, phase, None, (start, end)):
            return f" while {said}"
    cpu, io_wait = use
    if io_wait is not None and io_wait >= _WAITS_FOR_IO:
        return f"; a core waited for I/O for {in_percent(io_wait)} of its time"
    usual = mean_during(facts.cpu.get(steps.host), facts.analysed_interval)
    if cpu is not None and usual and cpu > _BUSIER * usual:
        return (
            f"; the host's CPU was {in_percent(cpu)} busy, usually {in_percent(usual)}: "
            "something else ran there"
        )
    if part not in summary.OWN_PARTS and len(facts.training) > 1:
        return ": it waited for the other processes"
    return "" if cpu is None else f"; the host's CPU was {in_percent(cpu)} busy, as usual"


def _overlaps(facts: Facts, phase: str, node: str | None, span: tuple[float, float]) -> bool:
    starts, ends = facts.index.spans(phase, node)
    return bool(((starts < span[1]) & (ends > span[0])).any())

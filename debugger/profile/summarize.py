"""What a report tells beyond its rules, computed from a profile. The types are in summary.py."""

import numpy as np

from debugger.profile import summary
from debugger.profile.batch_sizes import pictures_of
from debugger.profile.correlations import read_correlations
from debugger.profile.data import Profile
from debugger.profile.facts import Facts
from debugger.profile.host_use import read_hosts
from debugger.profile.host_work import slow_host
from debugger.profile.loading import Loading, read_loading
from debugger.profile.numbers import shares
from debugger.profile.outliers import LEAST_STEPS, MOST, explain, find_outliers
from debugger.profile.phases import DATA_WAIT, LOADER_START, LOADER_WORKER, STEP_MARK
from debugger.profile.steps import Steps
from debugger.profile.summary import (
    DataLoading,
    JobPhase,
    Outlier,
    Share,
    StepStatistics,
    Summary,
)
from debugger.profile.time_shares import read_shares

_STDDEV = 3.0  # StepOutlier's default
# What tells nothing about the time before the first step.
_OF_STEPS = (DATA_WAIT, LOADER_START, LOADER_WORKER)


def summarize(profile: Profile) -> Summary:
    """Everything; parts that the profile holds no data for are empty."""
    facts = Facts.of(profile)
    outliers, num_outliers, lost = _outliers(facts)
    slow = slow_host(facts)
    seconds = read_shares(facts)
    percents = shares(seconds)
    return Summary(
        phases=_phases(facts),
        shares=tuple(
            Share(part=part, seconds=seconds[part], percent=percents[part]) for part in percents
        ),
        steps=tuple(_statistics(facts, one) for one in facts.steps),
        num_steps=_num_steps(facts),
        outliers=outliers,
        num_outliers=num_outliers,
        lost_to_outliers=lost,
        correlations=read_correlations(facts),
        loading=tuple(_loading(one) for one in read_loading(facts)),
        hosts=read_hosts(facts),
        slow_host=slow.slowest if slow else "",
    )


def _phases(facts: Facts) -> tuple[JobPhase, ...]:
    """Stretches that follow one another; those of no length are left out."""
    start, end = facts.profile.started_at, facts.profile.ended_at
    if facts.loop is None:
        return (_phase("job", start, end, facts),) if end > start else ()
    first, last = facts.loop
    begun = min(max(_first_event(facts), start), first)
    edges = (
        ("start", start, begun),
        ("initialization", begun, first),
        ("training loop", first, last),
        ("finalization", last, end),
    )
    return tuple(_phase(name, one, other, facts) for name, one, other in edges if other > one)


def _first_event(facts: Facts) -> float:
    """When a process began with what is recorded before its steps; without that, at once."""
    index = facts.index
    told = [
        index.spans(name)[0][0]
        for name in index.names
        if name not in _OF_STEPS and not name.startswith(STEP_MARK)
    ]
    first = float(min(told, default=facts.profile.started_at))
    assert facts.loop is not None
    return first if first < facts.loop[0] else facts.profile.started_at


def _phase(name: str, start: float, end: float, facts: Facts) -> JobPhase:
    percent = 100.0 * (end - start) / facts.profile.seconds
    return JobPhase(name=name, started_at=start, seconds=end - start, percent=percent)


def _statistics(facts: Facts, steps: Steps) -> StepStatistics:
    seconds = steps.seconds
    p50, p95, p99 = (float(one) for one in np.quantile(seconds, [0.5, 0.95, 0.99]))
    pictures = pictures_of(facts, steps) if steps in facts.training else None
    total = float(seconds.sum())
    return StepStatistics(
        node=steps.node,
        mode=steps.mode,
        starts=steps.starts,
        seconds=seconds,
        numbers=tuple(steps.numbers.tolist()),
        mean=float(seconds.mean()),
        minimum=float(seconds.min()),
        p50=p50,
        p95=p95,
        p99=p99,
        maximum=float(seconds.max()),
        parts={part: float(steps.parts[part].mean()) for part in summary.PARTS_OF_STEP
               if part in steps.parts},
        images_per_second=float(pictures.sum()) / total if pictures is not None and total else None,
    )  # fmt: skip


def _num_steps(facts: Facts) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in facts.steps:
        counts[one.mode] = max(counts.get(one.mode, 0), len(one))
    return counts


def _outliers(facts: Facts) -> tuple[tuple[Outlier, ...], int, float]:
    """The longest ones, how many there are, and the seconds that they took above the usual."""
    found = [find_outliers(one, _STDDEV) for one in facts.steps if len(one) >= LEAST_STEPS]
    explained = [outlier for one in found for outlier in explain(facts, one)]
    explained.sort(key=lambda one: -one.seconds)
    num = sum(len(one.places) for one in found)
    return tuple(explained[:MOST]), num, sum(one.lost_seconds for one in found)


def _loading(one: Loading) -> DataLoading:
    waits = np.quantile(one.waits, [0.5, 0.95])
    loads = np.quantile(one.loads, [0.5, 0.95]) if len(one.loads) else (None, None)
    return DataLoading(
        node=one.steps.node,
        num_workers=one.num_workers,
        num_seen=len(one.pids),
        cores=one.cores,
        pin_memory=one.pin_memory,
        batches=len(one.waits),
        wait_p50=float(waits[0]),
        wait_p95=float(waits[1]),
        load_p50=None if loads[0] is None else float(loads[0]),
        load_p95=None if loads[1] is None else float(loads[1]),
        wait_percent=one.wait_percent,
        starved_percent=one.starved_percent,
        workers_busy_percent=one.workers_busy_percent,
        wait_seconds=one.waits,
    )

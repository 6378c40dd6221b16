"""Where the time of the processes that train goes; each moment counts for one part only."""

from debugger.profile import phases, summary
from debugger.profile.facts import Facts
from debugger.profile.intervals import (
    NONE,
    Intervals,
    difference,
    join,
    seconds_of,
    single,
    union,
    within,
)
from debugger.profile.steps import Steps

# What lies within something else comes first: a moment belongs to the first part that has it. An
# evaluation counts as a whole, with its own waits.
_ORDER = (
    (summary.CHECKPOINTS, (phases.CHECKPOINT,)),
    (summary.EVALUATION, (phases.EVALUATE, f"{phases.STEP_MARK}.{phases.EVAL}")),
)
_STEPS = "steps"
_AFTER_STEPS = (
    (summary.DECODING, (phases.DECODE,)),
    (summary.FEATURES, (phases.FEATURES,)),
)


def read_shares(facts: Facts) -> dict[str, float]:
    """Seconds by summary.PARTS, summed over the processes that train; empty without any.

    They sum to the length of the job times the number of processes.
    """
    totals: dict[str, float] = {}
    for steps in facts.training:
        for part, seconds in _of_process(facts, steps).items():
            totals[part] = totals.get(part, 0.0) + seconds
    return {part: totals[part] for part in summary.PARTS if totals.get(part, 0.0) > 0}


def _of_process(facts: Facts, steps: Steps) -> dict[str, float]:
    job = facts.profile.started_at, facts.profile.ended_at
    start, end = float(steps.starts[0]), float(steps.ends.max())
    known = NONE
    seconds: dict[str, float] = {}
    parts = [(part, _when(facts, steps.node, names)) for part, names in _ORDER]
    parts.append((_STEPS, union(steps.starts, steps.ends)))
    parts += [(part, _when(facts, steps.node, names)) for part, names in _AFTER_STEPS]
    for part, when in parts:
        when = within(when, *job)
        both = join(known, when)
        seconds[part] = seconds_of(both) - seconds_of(known)
        known = both
    seconds |= _parts_of(steps, seconds.pop(_STEPS))
    for part, begin, finish in (
        (summary.START_UP, job[0], start),
        (summary.BETWEEN, start, end),
        (summary.FINALIZATION, end, job[1]),
    ):
        seconds[part] = seconds_of(difference(single(begin, finish), known))
    return seconds


def _parts_of(steps: Steps, seconds: float) -> dict[str, float]:
    """What the time of steps goes to; all of it is the rest where nobody recorded more."""
    total = steps.total()
    if not steps.parts or not total:
        return {summary.REST: seconds}
    return {part: seconds * steps.total(part) / total for part in steps.parts}


def _when(facts: Facts, node: str, names: tuple[str, ...]) -> Intervals:
    return join(*(union(*facts.index.spans(name, node)) for name in names))

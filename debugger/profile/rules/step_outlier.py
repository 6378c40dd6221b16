"""StepOutlier: some steps take much longer than most."""

from typing import Any

import numpy as np

from contract.rule_result import Finding
from debugger.profile.aws.steps import step_stats
from debugger.profile.facts import Facts
from debugger.profile.intervals import Intervals, union
from debugger.profile.numbers import histogram, in_percent, in_seconds, plural
from debugger.profile.outliers import LEAST_STEPS, STARTS, Found, explain, find_outliers
from debugger.profile.parameters import StepOutlier
from debugger.profile.phases import TRAIN
from debugger.profile.rules.bottleneck import what_ran
from debugger.profile.rules.findings import capped
from debugger.profile.steps import Steps
from debugger.profile.summary import Outlier
from debugger.profile.verdict import State, Verdict, no_metric, not_enough

_USUAL_SHARE = 0.02  # of the steps: so many outliers are nothing unusual in a short job
_LEAST_LOSS = 2.0  # percent of the time of steps
_LEAST_OF_JOB = 0.5  # percent of the job


def judge_step_outlier(facts: Facts, parameters: StepOutlier) -> Verdict:
    """Fires when more than `n_outliers` steps of a process and mode are above the mean by `stddev`
    standard deviations, and took 2 % of the time away.

    AWS keeps one mode of a process (the last with more than 100 steps) and counts it again each
    minute; here every mode counts, once, from 20 steps on. In a job of fewer than 500 steps 2 % of
    them are tolerated instead of `n_outliers`, unless that is given. Each outlier has a cause.
    """
    steps = [one for one in facts.steps if _is_asked(one, parameters)]
    if not steps:
        return no_metric("steps", "this rule needs Step events, which a timeline has")
    longest = max(len(one) for one in steps)
    if longest < LEAST_STEPS:
        return not_enough(longest, LEAST_STEPS - 1, "steps of a process")
    found = [find_outliers(one, parameters.stddev) for one in steps if len(one) >= LEAST_STEPS]
    fired = [one for one in found if _matters(facts, one, parameters)]
    details = _details(found, parameters.stddev)
    datapoints = sum(len(one) for one in steps)
    if not fired:
        count = sum(len(one.places) for one in found)
        lost = sum(one.lost_seconds for one in found)
        sentence = (
            f"{count} of {plural(datapoints, 'step')} took much longer than most, "
            f"{in_seconds(lost)} in all"
        )
        return Verdict(state=State.FINE, sentence=sentence, datapoints=datapoints, details=details)
    causes = {id(one): explain(facts, one) for one in fired}
    findings = [
        finding for one in fired for finding in _findings(facts, one, causes[id(one)], parameters)
    ]
    details |= what_ran(facts.profile.events, _when(fired))
    details["gain_percent"] = max(_loss_percent(one) for one in fired)
    return Verdict(
        state=State.FIRED,
        sentence=findings[0].message,
        triggered=len(fired),
        violations=sum(len(one.places) for one in fired),
        datapoints=datapoints,
        details=details,
        findings=capped(findings),
    )


def _is_asked(steps: Steps, parameters: StepOutlier) -> bool:
    return not parameters.mode or parameters.mode in (steps.mode, f"Step:ModeKeys.{steps.mode}")


def _matters(facts: Facts, found: Found, parameters: StepOutlier) -> bool:
    tolerated = parameters.n_outliers
    if "n_outliers" not in parameters.given:
        tolerated = min(tolerated, max(1, int(_USUAL_SHARE * len(found.steps))))
    if found.lost_seconds < _LEAST_OF_JOB / 100 * facts.profile.seconds:
        return False
    return len(found.places) > tolerated and _loss_percent(found) >= _LEAST_LOSS


def _loss_percent(found: Found) -> float:
    return 100.0 * found.lost_seconds / found.steps.total()


def _when(fired: list[Found]) -> Intervals:
    starts = np.concatenate([one.steps.starts[one.places] for one in fired])
    return union(starts, np.concatenate([one.steps.ends[one.places] for one in fired]))


def _findings(
    facts: Facts, found: Found, causes: list[Outlier], parameters: StepOutlier
) -> list[Finding]:
    parts = [one.part for one in causes]
    most = max(set(parts), key=parts.count)
    same = [one for one in causes if one.part == most]
    example = same[len(same) // 2]  # neither the worst nor the least
    first = Finding(
        step=facts.window_of(example.started_at, parameters.scan_interval_us),
        mode=found.steps.mode,
        tensor=found.steps.node,
        value=float(len(found.places)),
        threshold=found.limit,
        message=(
            f"{found.steps.node}: {len(found.places)} of {plural(len(found.steps), 'step')} "
            f"({found.steps.mode}) took longer than {in_seconds(found.limit)}, "
            f"{in_percent(_loss_percent(found))} of all time; mostly it is {most}: step "
            f"{example.step}: {example.cause}"
        ),
        advice=_STARTS if STARTS in example.cause else _ADVICE.get(most, _OTHERS),
    )
    rest = [
        Finding(
            step=facts.window_of(one.started_at, parameters.scan_interval_us),
            mode=one.mode,
            tensor=one.node,
            value=one.seconds,
            threshold=found.limit,
            message=f"{one.node}: step {one.step}: {one.cause}",
        )
        for one in causes
    ]
    return [first, *rest]


_OTHERS = "look at what else runs on this host"
_STARTS = (
    "each epoch starts its loader workers anew: take fewer of them (num-workers), or longer epochs"
)
_ADVICE = {
    "waiting for data": "raise num-workers so that batches are ready ahead of time, or pack the "
    "pictures (kennel data pack) where single files open slowly",
    "copy to device": "copies waited for the device: look for other programs on the GPU",
    "optimizer": "the processes waited for one another: see LoadBalancing for the slow one",
    "rest of the step": "something between the parts of a step ran: logging, checkpoints, hooks "
    "that save tensors; do it less often",
}


def _details(found: list[Found], stddev: float) -> dict[str, Any]:
    """`step_details` by process as AWS has it, for training where there is any; `modes` for all."""
    modes: dict[str, dict[str, Any]] = {}
    for one in found:
        modes.setdefault(one.steps.node, {})[one.steps.mode] = _of_mode(one)
    chosen = {node: known.get(TRAIN) or next(iter(known.values())) for node, known in modes.items()}
    return {"step_details": chosen, "modes": modes, "stddev": stddev}


def _of_mode(found: Found) -> dict[str, Any]:
    seconds = found.steps.seconds
    usual = seconds[seconds <= found.limit]
    spans = np.column_stack([found.steps.starts, found.steps.ends])[found.places]
    return {
        "step_stats": step_stats(seconds),
        "number_of_outliers": len(found.places),
        "phase": f"Step:ModeKeys.{found.steps.mode}",
        "stddev": round(float(seconds.std()), 4),
        "limit": found.limit,
        "lost_seconds": found.lost_seconds,
        **histogram(usual),
        "step_numbers": [str(one) for one in found.steps.numbers[found.places]],
        "intervals": spans,
    }

"""Completion: what ends a study before its last trial."""

from collections.abc import Container, Iterable

from contract.study import Trial
from contract.tuning import TuningSpec

# SageMaker counts a training job as no improvement when it gains less than 1 % on those before.
LEAST_GAIN = 0.01
FEWEST_TO_CONVERGE = 10
FEWEST_TO_GIVE_UP = 5  # as in SageMaker: so many failures and nothing else


def why_complete(spec: TuningSpec, trials: Iterable[Trial]) -> str | None:
    """The criterion that is met, in words; None: go on.

    `not_improving` and `on_convergence` look at completed trials by number. Converged: of at
    least 10, the last third (10 at the least) brought no gain of 1 %.
    """
    criteria, objective = spec.completion, spec.objective
    values = [one.objective for one in trials if one.status == "Completed"]
    scores = [value for value in values if value is not None]
    target = criteria.target_objective
    if target is not None and any(
        value == target or objective.is_better(value, target) for value in scores
    ):
        return f"the target was reached: {objective.metric} {target:g}"
    idle = trials_without_gain(spec, scores)
    if criteria.not_improving is not None and idle >= criteria.not_improving:
        return f"{idle} trials in a row brought no gain of {LEAST_GAIN:.0%}"
    patience = max(FEWEST_TO_CONVERGE, len(scores) // 3)
    if criteria.on_convergence and idle >= patience:
        return f"converged: the last {idle} trials brought no gain of {LEAST_GAIN:.0%}"
    return None


def trials_without_gain(spec: TuningSpec, scores: Iterable[float]) -> int:
    """How many scores at the end brought no gain of LEAST_GAIN over the best before them."""
    idle = 0
    best: float | None = None
    for score in scores:
        idle += 1
        if best is None or _gains(spec, score, best):
            idle = 0
        if best is None or spec.objective.is_better(score, best):
            best = score
    return idle


def _gains(spec: TuningSpec, score: float, best: float) -> bool:
    margin = LEAST_GAIN * abs(best)
    gain = score - best if spec.objective.maximize else best - score
    return gain > 0 and gain >= margin


def why_hopeless(
    spec: TuningSpec, trials: Iterable[Trial], before: Container[int] = ()
) -> str | None:
    """The first failure's reason when all of the first trials failed; None: go on.

    `before`: trials that ended in earlier sessions. What they failed of may have been mended.
    """
    ended = [one for one in trials if one.status != "InProgress"]
    if any(one.status != "Failed" for one in ended):
        return None
    ended = [one for one in ended if one.number not in before]
    if not ended or len(ended) < min(FEWEST_TO_GIVE_UP, spec.num_jobs):
        return None
    return (
        f"all of the first {len(ended)} trials failed; trial {ended[0].number}: {ended[0].reason}"
    )


def best_of(spec: TuningSpec, trials: Iterable[Trial]) -> Trial | None:
    """The completed trial with the best objective; the first of equals."""
    best: Trial | None = None
    for one in trials:
        if one.status != "Completed" or one.objective is None:
            continue
        if best is None or spec.objective.is_better(one.objective, best.objective or 0.0):
            best = one
    return best


def best_unfinished(spec: TuningSpec, trials: Iterable[Trial]) -> Trial | None:
    """The one that had come furthest of those that did not complete, as far as it was judged.

    By the objective; a metric of test, which comes last, is judged by validation's.
    """
    objective = spec.objective
    metric = objective.metric.replace("test:", "validation:")
    best: Trial | None = None
    for one in trials:
        if one.status == "Completed" or metric not in one.metrics:
            continue
        if best is None or objective.is_better(one.metrics[metric], best.metrics[metric]):
            best = one
    return best

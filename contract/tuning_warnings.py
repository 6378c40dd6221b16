"""Warnings about a tuning job: nothing that SageMaker refuses, but that costs trials or trust."""

from contract.hyperparameters import BY_NAME
from contract.metrics import METRIC_BY_NAME
from contract.ranges import CategoricalRange, ContinuousRange, Range, share_above, share_below
from contract.setting import Setting, Value
from contract.tuning import TuningSpec

# What is known to happen outside the range that the table of knobs calls worth searching.
ABOVE = {
    "lr": "training is known to diverge there",
    "momentum": "steps overshoot and training is known to diverge there",
    "weight-decay": "weights shrink faster than they learn there",
    "label-smoothing": "most of each target is noise there",
}
BELOW = {"lr": "hardly anything is learnt in the usual number of epochs there"}


def tuning_warnings(spec: TuningSpec) -> tuple[str, ...]:
    """One line each, for a person; empty when nothing is to be said."""
    lines = [line for name, one in spec.ranges.items() for line in _range_lines(name, one)]
    return (*lines, *_objective_lines(spec), *_budget_lines(spec))


def _range_lines(name: str, one: Range) -> list[str]:
    setting = BY_NAME[name]
    if setting.tuning is None:
        return []
    low, high = setting.tuning[0], setting.tuning[-1]
    if isinstance(low, str) or isinstance(high, str):
        return []
    if isinstance(one, CategoricalRange):
        return _listed_lines(setting, one.values, low, high)
    lines = []
    if one.maximum > high:
        share = f"{share_above(one, high):.0%} of the draws"
        part = f"{max(high, one.minimum):g} to {one.maximum:g} ({share})"
        lines.append(_outside(setting, part, ABOVE))
    # Bounds are often rounded: a little below is not worth a word.
    if isinstance(one, ContinuousRange) and share_below(one, low) >= 0.25 and name in BELOW:
        share = f"{share_below(one, low):.0%} of the draws"
        part = f"{one.minimum:g} to {min(low, one.maximum):g} ({share})"
        lines.append(_outside(setting, part, BELOW))
    return lines


def _listed_lines(
    setting: Setting, values: tuple[Value, ...], low: float, high: float
) -> list[str]:
    numbers = [value for value in values if not isinstance(value, (str, bool))]
    found = (
        ([value for value in numbers if value > high], ABOVE),
        ([value for value in numbers if value < low and setting.name in BELOW], BELOW),
    )
    return [
        _outside(setting, ", ".join(f"{value:g}" for value in outside), reasons)
        for outside, reasons in found
        if outside
    ]


def _outside(setting: Setting, part: str, reasons: dict[str, str]) -> str:
    low, high = (setting.tuning or (0, 0))[0], (setting.tuning or (0, 0))[-1]
    reason = reasons.get(setting.name)
    line = f"ranges.{setting.name}: {part} is outside {low:g} to {high:g}, what is worth searching"
    return f"{line}: {reason}" if reason else line


def _objective_lines(spec: TuningSpec) -> list[str]:
    objective = spec.objective
    metric = METRIC_BY_NAME[objective.metric]
    lines = []
    if objective.maximize != metric.maximize:
        lines.append(
            f"objective: {metric.name} is better when {'higher' if metric.maximize else 'lower'}, "
            f"and goal {objective.goal} searches for the worst"
        )
    if metric.name.startswith("test:"):
        twin = metric.name.replace("test:", "validation:")
        lines.append(
            f"objective: the settings are chosen by {metric.name}, so the test score of the best "
            f"trial is no longer independent; {twin} keeps it so"
        )
    if metric.name in ("train:loss", "train:accuracy"):
        lines.append(
            f"objective: {metric.name} rewards overfitting; validation:loss or "
            "validation:accuracy does not"
        )
    if spec.early_stopping == "Auto" and not objective.every_epoch:
        lines.append(
            f"early_stopping: {metric.name} comes once, at the end of a trial, so there is nothing "
            "to stop early by: every trial runs to its end, here and in SageMaker"
        )
    return lines


def _budget_lines(spec: TuningSpec) -> list[str]:
    combinations = spec.num_combinations
    lines = []
    if spec.strategy != "Grid" and combinations is not None and spec.num_jobs > combinations:
        lines.append(
            f"max_jobs: there are {combinations} combinations only and {spec.num_jobs} trials "
            "repeat some; strategy Grid tries each once"
        )
    crowded = spec.max_parallel_jobs > 1 and spec.num_jobs <= 2 * spec.max_parallel_jobs
    if spec.strategy == "Bayesian" and crowded:
        lines.append(
            f"max_parallel_jobs: {spec.max_parallel_jobs} of {spec.num_jobs} trials at once leave "
            "Bayesian search little to learn from; fewer at once find more"
        )
    return lines

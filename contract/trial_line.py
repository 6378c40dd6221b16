"""A trial in one sentence, the same wherever its study runs."""

from collections.abc import Mapping

from contract.ranges import text_for
from contract.setting import Value
from contract.study import Trial
from contract.tuning import TuningSpec


def trial_line(spec: TuningSpec, trial: Trial, best: Trial | None) -> str:
    """Example: `trial  7/20  test:loss 2.713  best 2.701 (trial 4)  lr 0.0123  1.2 s`."""
    parts = [f"trial {trial.number:>{len(str(spec.num_jobs))}}/{spec.num_jobs}"]
    if trial.status == "Failed":
        parts.append(f"failed: {trial.reason}")
    elif trial.objective is not None:
        parts.append(f"{spec.objective.metric} {trial.objective:.4g}")
    if trial.status == "Stopped":
        parts.append(f"stopped: {trial.reason}")
    if best is not None and best.objective is not None:
        is_own = best.number == trial.number
        parts.append(
            "the best so far" if is_own else f"best {best.objective:.4g} (trial {best.number})"
        )
    parts += [describe_values(trial.hyperparameters), f"{trial.seconds:.1f} s"]
    return "  ".join(parts)


def describe_values(values: Mapping[str, Value]) -> str:
    """`lr 0.0123, batch-size 64`."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {text_for(name, value)}"
        for name, value in values.items()
    )

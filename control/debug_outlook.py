"""Outlook: of a job without findings, what its curves say would go wrong first.

It reads the figures that training leaves for every epoch, with the limits of the rules that watch
the same: so it says how near a rule was to its limit, which `NoIssuesFound` does not.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.opt_ml import OptMl
from contract.rule_result import RuleResult
from contract.tensor_rules import LOSS_NOT_DECREASING, OVERFIT, OVERTRAINING

METRICS_NAME = "metrics.jsonl"  # of train/metrics_file.py: one JSON object an epoch
TRAIN, VALIDATION = "train:loss", "validation:loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How far a rule is from firing, as epochs show it."""

    rule: str
    share: float  # of its limit that is reached; 1 and more: epochs alone would fire it
    text: str


def outlook(folder: Path, results: Sequence[RuleResult] = ()) -> str:
    """One sentence: the rule that comes nearest to its limit, and what the limit is.

    `results`: their parameters stand instead of the defaults.
    """
    rows = _rows(OptMl(folder).output_data_dir / METRICS_NAME)
    given = {one.rule: one.parameters for one in results}
    margins = sorted(_margins(rows, given), key=lambda one: -one.share)
    if not margins:
        return "Too few epochs with a validation loss to say what would go wrong next."
    nearest = margins[0]
    return f"Nearest to its limit is {nearest.rule}: {nearest.text}."


def _rows(path: Path) -> list[dict[str, Any]]:
    """Epochs with both losses; none where there is no such file, or a damaged one."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    return [row for row in rows if _is_number(row.get(TRAIN)) and _is_number(row.get(VALIDATION))]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _margins(
    rows: list[dict[str, Any]], given: Mapping[str, Mapping[str, Any]]
) -> Iterator[Margin]:
    if not rows:
        return
    last = rows[-1]
    limit = _limit(given, OVERFIT.name, "ratio_threshold", 0.1)
    gap = (last[VALIDATION] - last[TRAIN]) / last[TRAIN] if last[TRAIN] > 0 else 0.0
    side = "above" if gap >= 0 else "below"
    yield Margin(
        rule=OVERFIT.name,
        share=gap / limit if limit > 0 else 0.0,
        text=f"after epoch {last['epoch']} the validation loss is {100 * abs(gap):.0f} % {side} "
        f"the training loss, and it fires above {100 * limit:.0f} %",
    )
    if len(rows) < 2:
        return
    best = min(rows, key=lambda row: float(row[VALIDATION]))
    idle = int(last["epoch"]) - int(best["epoch"])
    patience = _limit(given, OVERTRAINING.name, "patience_validation", 10)
    yield Margin(
        rule=OVERTRAINING.name,
        share=idle / patience if patience > 0 else 0.0,
        text=f"the best validation loss, {best[VALIDATION]:.3f}, is {idle} epochs old, and it "
        f"fires after {patience:.0f} evaluations without a better one",
    )
    yield _falling(rows, given)


def _falling(rows: list[dict[str, Any]], given: Mapping[str, Mapping[str, Any]]) -> Margin:
    """A loss that falls by twice what is asked is half way from the limit."""
    wanted = _limit(given, LOSS_NOT_DECREASING.name, "diff_percent", 0.1)
    before, after = rows[-2][VALIDATION], rows[-1][VALIDATION]
    fall = 100 * (before - after) / before if before > 0 else 0.0
    share = 1.0 if fall <= wanted else wanted / fall
    moved = f"fell by {fall:.1f} %" if fall >= 0 else f"rose by {-fall:.1f} %"
    return Margin(
        rule=LOSS_NOT_DECREASING.name,
        share=share,
        text=f"in the last epoch the validation loss {moved}, and it asks for {wanted:g} %",
    )


def _limit(
    given: Mapping[str, Mapping[str, Any]], rule: str, parameter: str, default: float
) -> float:
    value = given.get(rule, {}).get(parameter, default)
    return float(value) if _is_number(value) else default

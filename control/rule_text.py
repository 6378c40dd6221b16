"""What rules found, as people read it: a line when a status changes, a table at the end."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contract.rule_result import RuleResult
from control.terminal import table

LONGEST = 110  # characters of a sentence in the table; report.json has it whole


def rule_line(result: RuleResult) -> str:
    """`rule VanishingGradient: IssuesFound at step 40: ...`."""
    at = _at(result)
    return f"rule {result.name}: {result.status}{at}: {sentence(result)}"


def sentence(result: RuleResult) -> str:
    """The one thing that is worth saying about a result, in one line."""
    if result.findings:
        text = result.findings[0].message
    elif result.status == "NoIssuesFound":
        text = f"nothing in {result.datapoints:,} values" if result.datapoints else "nothing"
    else:
        text = result.details
    return " ".join(text.split())


def summary_of(result: RuleResult) -> dict[str, Any]:
    """What run.json keeps of a rule; its report.json holds everything."""
    return {
        "name": result.name,
        "rule": result.rule,
        "status": result.status,
        "step": result.findings[0].step if result.findings else None,
        "num_findings": result.num_findings,
        "summary": sentence(result),
    }


def rule_table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Rules with status, the first step that they fired at, and why."""
    rows = [
        (
            str(one["name"]),
            str(one["status"]),
            "-" if one.get("step") is None else str(one["step"]),
            _short(str(one.get("summary", ""))),
        )
        for one in summaries
    ]
    return table(("rule", "status", "step", "what was seen"), rows)


def in_order(results: Iterable[RuleResult], names: Sequence[str]) -> tuple[RuleResult, ...]:
    """Those of `names`, in this order."""
    by_name = {one.name: one for one in results}
    return tuple(by_name[name] for name in names if name in by_name)


def _at(result: RuleResult) -> str:
    if not result.findings:
        return ""
    first = result.findings[0]
    return f" at step {first.step}" if first.mode else ""


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3].rstrip()}..."

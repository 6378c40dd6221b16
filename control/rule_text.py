"""What rules found, as people read it: a line when a status changes, a table at the end."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from contract.rule_result import RuleResult
from control.terminal import table

WIDTH = 96  # of an explanation
COLUMN = 68  # characters of the last column; what is longer goes on below


def rule_line(result: RuleResult) -> str:
    """`rule VanishingGradient: IssuesFound at step 40 of TRAIN: ...`."""
    return f"rule {result.name}: {result.status}{at_step(result)}: {sentence(result)}"


def sentence(result: RuleResult) -> str:
    """The one thing that is worth saying about a result, in one line."""
    if result.findings:
        text = result.findings[0].message
    elif result.status == "NoIssuesFound" and not result.details:
        text = f"fine in {result.datapoints:,} looks" if result.datapoints else "fine"
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
        "mode": result.findings[0].mode if result.findings else "",
        "num_findings": result.num_findings,
        "summary": sentence(result),
    }


def rule_table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Rules with status, the first step that they fired at, and why."""
    rows: list[tuple[str, ...]] = []
    for one in summaries:
        step = "-" if one.get("step") is None else f"{one.get('mode', '')} {one['step']}".strip()
        first, *more = textwrap.wrap(str(one.get("summary", "")), COLUMN) or [""]
        rows.append((str(one["name"]), str(one["status"]), step, first))
        rows += [("", "", "", line) for line in more]
    return table(("rule", "status", "step", "what was seen"), rows)


def explanation(source: str, results: Sequence[RuleResult], ahead: str | None) -> str:
    """What fired, at which step, what it means and what to change; else that all is well.

    `ahead`: what would most likely go wrong next, where nothing has yet.
    """
    found = [one for one in results if one.status == "IssuesFound"]
    fine = [one.name for one in results if one.status == "NoIssuesFound"]
    others = [one for one in results if one not in found and one.name not in fine]
    count = f"{len(found)} of {len(results)} rules found something"
    lines = [f"{source}: {count}." if found else _all_well(source, fine)]
    for one in found:
        lines += ["", *_finding_lines(one)]
    if found and fine:
        lines += ["", f"fine: {', '.join(fine)}"]
    if others:
        lines += ["", *(f"{one.name}: {one.status}: {sentence(one)}" for one in others)]
    return "\n".join([*lines, *([ahead] if ahead else [])])


def _all_well(source: str, fine: Sequence[str]) -> str:
    if not fine:
        return f"{source}: no rule could be evaluated."
    return f"{source}: all is well, say {', '.join(fine)}."


def _finding_lines(result: RuleResult) -> list[str]:
    if not result.findings:
        return [f"{result.name}: {sentence(result)}"]
    first = result.findings[0]
    where = f"at step {first.step} ({first.mode})" if first.mode else f"in window {first.step}"
    more = result.num_findings - 1
    times = f", and {more:,} more time{'s' if more > 1 else ''}" if more > 0 else ""
    said = sentence(result)
    lines = [f"{result.name}, first {where}{times}", *_wrapped("seen:", said)]
    is_known = first.value is not None and first.threshold is not None
    if is_known and first.tensor not in said:
        of = f" of {first.tensor}" if first.tensor else ""
        lines.append(f"  figures: {first.value:.4g}{of}, threshold {first.threshold:.4g}")
    return lines + (_wrapped("advice:", first.advice) if first.advice else [])


def _wrapped(label: str, text: str) -> list[str]:
    """`  label:   text`, what is longer than a line below it."""
    indent = " " * 11
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {label.ljust(9)}",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def at_step(result: RuleResult) -> str:
    """` at step 3 of EVAL`: where it fired first; empty where steps mean nothing."""
    first = result.findings[0] if result.findings else None
    return f" at step {first.step} of {first.mode}" if first and first.mode else ""

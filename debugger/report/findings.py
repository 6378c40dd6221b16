"""Findings: what rules found, as words, tables and badges."""

from collections.abc import Mapping, Sequence
from typing import Any

from contract.page import to_section, to_text
from contract.rule_result import Finding, RuleResult
from contract.rules import RULES
from debugger.profile.numbers import plural
from debugger.profile.verdict import State, state_of
from debugger.report.view import View
from debugger.report.words import to_table

# Badge and its kind of each status, and of what a profiler's rule means by NoIssuesFound.
_BADGES: dict[str, tuple[str, str]] = {
    "IssuesFound": ("fired", "bad"),
    "NoIssuesFound": ("fine", "good"),
    "Error": ("error", "bad"),
    State.NOT_ENOUGH: ("not enough data", "quiet"),
    State.NO_METRIC: ("no such metric", "quiet"),
    State.FINE: ("fine", "good"),
}
_STATISTICS = ("OverallSystemUsage", "OverallFrameworkMetrics", "ProfilerReport")


def to_badge(result: RuleResult) -> str:
    """How the rule stands, in a word. A rule that saw too little is not a healthy one."""
    state = state_of(result) if result.status == "NoIssuesFound" else None
    word, kind = _BADGES.get(state or result.status, (str(result.status), "quiet"))
    return f'<span class="badge {kind}">{to_text(word)}</span>'


def tell_rule(view: View, rule: str) -> str:
    """A rule's name, badge, evidence and advice. Nothing where it was not asked."""
    result = view.result(rule)
    if result is None:
        return ""
    told = result.findings[-1] if result.findings else None
    text = told.message if told else result.details
    advice = f" {to_text(told.advice)}" if told and told.advice else ""
    return f"<p>{to_badge(result)} <b>{to_text(rule)}</b>: {to_text(_ended(text))}{advice}</p>"


def rules_section(results: Sequence[RuleResult]) -> str:
    """Every rule with its counts, parameters and recommendation; those that fired come first."""
    judged = [one for one in results if one.rule not in _STATISTICS]
    if not judged:
        return to_section("Rules", "<p>No rule was asked.</p>", "rules")
    ranked = sorted(judged, key=lambda one: (one.status != "IssuesFound", -_triggers(one)))
    fired = sum(one.status == "IssuesFound" for one in judged)
    heads = ("rule", "status", "what it says", "fired", "violations", "datapoints", "parameters")
    table = to_table(heads, [_row(one) for one in ranked], texts=3)
    told = f"{plural(fired, 'rule')} of {len(judged)} fired." if fired else (
        f"None of {plural(len(judged), 'rule')} fired."
    )  # fmt: skip
    hint = " A rule that had not enough data is not a healthy one: it says so, and what it needs."
    return to_section("Rules", f"<p>{told}{hint}</p>{table}", "rules")


def findings_table(findings: Sequence[Finding]) -> str:
    """Each finding with step, tensor, value, threshold, what it means and what to change."""
    rows = [
        (to_text(one.mode or "&ndash;") if one.mode else "&ndash;", to_text(one.tensor),
         f"{to_text(one.message)}<br><span class=muted>{to_text(one.advice)}</span>",
         f"{one.step:,}", _number(one.value), _number(one.threshold))
        for one in findings
    ]  # fmt: skip
    heads = ("mode", "tensor", "what was found, and what to change", "step", "value", "threshold")
    return to_table(heads, rows, texts=3)


def _row(one: RuleResult) -> tuple[str, ...]:
    kind = RULES.get(one.rule)
    finding = one.findings[-1] if one.findings else None
    text = _ended(finding.message if finding else one.details)
    advice = f"<br>{to_text(finding.advice)}" if finding and finding.advice else ""
    about = f'<br><span class="muted">Fires when {to_text(kind.help)}.</span>' if kind else ""
    report = one.report
    return (
        f"<b>{to_text(one.rule)}</b>",
        to_badge(one),
        f"{to_text(text)}{advice}{about}",
        f"{_triggers(one):,}",
        f"{int(report.get('Violations') or 0):,}",
        f"{int(report.get('Datapoints') or one.datapoints):,}",
        _parameters(one.parameters),
    )


def _triggers(one: RuleResult) -> int:
    return int(one.report.get("RuleTriggered") or one.num_findings)


def _parameters(values: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in values.items() if name != "scan_interval_us"}
    return "<br>".join(f"{to_text(name)} {to_text(str(value))}" for name, value in shown.items())


def _number(value: float | None) -> str:
    return "&ndash;" if value is None else f"{value:.4g}"


def _ended(text: str) -> str:
    """With a full stop."""
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."

"""Findings: what rules found, as words, tables and badges."""

from collections.abc import Sequence

from contract.page import to_section, to_text
from contract.rule_result import Finding, RuleResult
from contract.rules import RULES
from debugger.profile.numbers import plural
from debugger.profile.verdict import State, state_of
from debugger.report.view import View
from debugger.report.words import to_prose, to_table

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
    word, kind = _BADGES.get(_state_of(result) or result.status, (str(result.status), "quiet"))
    return f'<span class="badge {kind}">{to_text(word)}</span>'


def tell_rule(view: View, rule: str) -> str:
    """A rule's name, badge, evidence and advice. Nothing where it was not asked."""
    result = view.result(rule)
    if result is None:
        return ""
    told = result.findings[0] if result.findings else None
    text = to_prose(sentence_of(result, told))
    return f"<p>{to_badge(result)} <b>{to_text(rule)}</b>: {text}{to_change(told)}</p>"


def rules_section(results: Sequence[RuleResult]) -> str:
    """Every rule with its counts, parameters and recommendation; those that fired come first."""
    judged = [one for one in results if one.rule not in _STATISTICS]
    if not judged:
        return to_section("Rules", "<p>No rule was asked.</p>", "rules")
    ranked = sorted(judged, key=lambda one: (one.status != "IssuesFound", -_triggers(one)))
    fired = sum(one.status == "IssuesFound" for one in judged)
    heads = ("rule", "what it says", "fired", "violations", "datapoints")
    table = to_table(heads, [_row(one) for one in ranked], texts=2, is_prose=True)
    told = f"{plural(fired, 'rule')} of {len(judged)} fired." if fired else (
        f"None of {plural(len(judged), 'rule')} fired."
    )  # fmt: skip
    hint = " A rule that had not enough data is not a healthy one: it says so, and what it needs."
    return to_section("Rules", f"<p>{told}{hint}</p>{table}", "rules")


def findings_table(findings: Sequence[Finding]) -> str:
    """What the findings mean and what to change, and each with step, tensor, value, threshold."""
    advice = "".join(
        f"<p>{to_prose(text)}</p>" for text in dict.fromkeys(one.advice for one in findings) if text
    )
    rows = [
        (to_text(one.mode) or "&ndash;", f"<code>{to_text(one.tensor)}</code>",
         to_prose(ended(one.message)),
         f"{one.step:,}", _number(one.value), _number(one.threshold))
        for one in findings
    ]  # fmt: skip
    heads = ("mode", "tensor", "what was found", "step", "value", "threshold")
    return advice + to_table(heads, rows, texts=3, is_prose=True)


def sentence_of(result: RuleResult, finding: Finding | None) -> str:
    """The finding; or the rule's details, without the state that the badge says."""
    if finding is not None:
        return ended(finding.message)
    state = _state_of(result)
    text = result.details
    if state and text.lower().startswith(f"{state}:".lower()):
        text = text[len(state) + 1 :]
    if not text and result.status == "NoIssuesFound":
        text = f"nothing in {plural(result.datapoints, 'step')}"
    return ended(text)


def _state_of(result: RuleResult) -> State | None:
    """What NoIssuesFound stands for."""
    if result.status != "NoIssuesFound":
        return None
    if result.details.lower().startswith("not enough data"):  # as rules over tensors say it
        return State.NOT_ENOUGH
    return state_of(result)


def _row(one: RuleResult) -> tuple[str, ...]:
    kind = RULES.get(one.rule)
    finding = one.findings[0] if one.findings else None
    about = f"Fires when {kind.help}. " if kind else ""
    shown = {name: value for name, value in one.parameters.items() if name != "scan_interval_us"}
    about += ", ".join(f"{name} {value}" for name, value in shown.items())
    return (
        f"<b>{to_text(one.rule)}</b><br>{to_badge(one)}",
        f"{to_prose(sentence_of(one, finding))}{to_change(finding)}"
        f'<br><span class="muted">{to_text(about)}</span>',
        f"{_triggers(one):,}",
        f"{int(one.report.get('Violations') or 0):,}",
        f"{int(one.report.get('Datapoints') or one.datapoints):,}",
    )


def to_change(finding: Finding | None) -> str:
    """What to change, as a sentence of its own. Markup."""
    if finding is None or not finding.advice:
        return ""
    return f" <b>{to_prose(ended(finding.advice))}</b>"


def _triggers(one: RuleResult) -> int:
    return int(one.report.get("RuleTriggered") or one.num_findings)


def _number(value: float | None) -> str:
    return "&ndash;" if value is None else f"{value:.4g}"


def ended(text: str) -> str:
    """As a sentence: with a full stop, and a capital letter unless it begins with a name."""
    text = text.strip()
    first = text.split(" ", 1)[0]
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."

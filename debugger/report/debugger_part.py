"""What the Debugger's rules found, as the job's page tells it."""

from collections.abc import Sequence

from contract.page import to_section, to_text
from contract.rule_result import Finding, RuleResult
from contract.rules import RULES
from debugger.profile.numbers import plural
from debugger.report.findings import findings_table, sentence_of, to_badge
from debugger.report.job_files import JobFiles
from debugger.report.saved_lines import draw_panel, panel_of
from debugger.report.words import listed, or_dash, to_prose, to_table, to_words
from debugger.saved import SavedTensors

_MOST_FINDINGS = 8  # of one rule
# Rules whose value is the mean of the absolute values of the tensor that they name.
_IN_UNITS_OF_THE_LINE = ("VanishingGradient",)
_HOW = "`kennel run JOB.toml --debug`"


def findings_section(job: JobFiles, saved: SavedTensors | None) -> str:
    """The rules over tensors: a table of all, then each that fired with evidence and advice."""
    results = tensor_results(job)
    if not results:
        text = (
            f"No rule looked at this job's tensors. {_HOW} saves them and asks the rules; "
            "`kennel debug rules` asks them afterwards."
        )
        return to_section("What the Debugger found", to_words(text), "findings")
    fired = [one for one in results if one.findings]
    names = listed([to_text(one.name) for one in fired]) if fired else ""
    told = f"{names} fired." if fired else f"None of {plural(len(results), 'rule')} fired."
    rows = [
        (f"<b>{to_text(one.name)}</b>", to_badge(one), _says(one), f"{one.num_findings:,}",
         f"{one.datapoints:,}", or_dash(None if one.last_step is None else f"{one.last_step:,}"))
        for one in sorted(results, key=lambda one: not one.findings)
    ]  # fmt: skip
    heads = ("rule", "status", "what it says", "findings", "looked at", "last step")
    body = f"<p>{told}</p>{to_table(heads, rows, texts=3, is_prose=True)}"
    body += "".join(_tell(one, saved) for one in fired)
    return to_section("What the Debugger found", body, "findings")


def tensor_results(job: JobFiles) -> list[RuleResult]:
    """Those of built-in rules over tensors, and the user's own."""
    return [
        one for one in job.results if one.rule not in RULES or RULES[one.rule].scope == "tensors"
    ]


def _says(one: RuleResult) -> str:
    """The first finding, or the status in words. Markup."""
    text = sentence_of(one, one.findings[0] if one.findings else None)
    kind = RULES.get(one.rule)
    about = f'<br><span class="muted">Fires when {to_text(kind.help)}.</span>' if kind else ""
    return f"{to_prose(text)}{about}"


def _tell(one: RuleResult, saved: SavedTensors | None) -> str:
    shown = one.findings[:_MOST_FINDINGS]
    more = one.num_findings - len(shown)
    left = (
        f'<p class="muted">{plural(more, "more finding")} in report.json.</p>' if more > 0 else ""
    )
    return (
        f"<h3>{to_text(one.name)}</h3>{findings_table(shown)}{left}"
        f'<div class="panels">{_draw(one, shown, saved) if saved else ""}</div>'
    )


def _draw(one: RuleResult, findings: Sequence[Finding], saved: SavedTensors) -> str:
    """The first tensors that were named, against steps."""
    figures = []
    for name in list(dict.fromkeys(finding.tensor for finding in findings))[:2]:
        tensor = name.partition(" of worker_")[0]
        if tensor not in saved.all_names:
            continue
        is_same = one.rule in _IN_UNITS_OF_THE_LINE
        panel = panel_of(saved, tensor, *(["abs_mean"] if is_same else []))
        mine = [finding for finding in findings if finding.tensor == name]
        marks = [
            (finding.mode, step)
            for finding in mine
            if (step := saved.global_step(finding.mode, finding.step)) is not None
        ]
        limit = mine[0].threshold if is_same else None
        figures.append(draw_panel(panel, marks=marks, threshold=limit) if panel else "")
    return "".join(figures)

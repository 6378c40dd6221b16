"""What the debugger and the profiler of a run say, in words; and a debugger variable over time."""

from pathlib import Path

from contract.errors import KennelError
from contract.rule_result import RULE_OUTPUT, RULES_NAME
from control.debug_outlook import outlook
from control.debug_source import DebugSource
from control.debug_text import profiler_page
from control.debugger_child import ask_debugger
from control.rule_text import explanation
from control.runs import Run
from control.submission.evidence import Evidence

VARIABLE = "CrossEntropyLoss_output_0"  # the loss, as the hook names it
PICTURE = "debugger.png"


def findings_text(run: Run) -> str:
    """Each finding with its likely cause and what to change; without any, what was nearest.

    Empty when no rule has looked. Raises SpecError: a rule's report is damaged.
    """
    results = _source(run).results()
    if not results:
        return ""
    found = any(one.status == "IssuesFound" for one in results)
    return explanation(str(run.folder), results, None if found else outlook(run.folder, results))


def profile_sentences(run: Run, evidence: Evidence, out: Path) -> list[str]:
    """The profiler's advice: as it was kept, or asked again, with its report below `out`."""
    if kept := evidence.of("profile").get("sentences"):
        return [str(one) for one in kept]
    if not _source(run).has_profile():
        return []
    try:
        answer = ask_debugger("profile", str(run.folder), "--out", str(out))
    except KennelError:
        return []  # the checklist says that it is missing, and what makes it
    return [line for line in answer.output.splitlines() if line.strip()]


def profile_page(run: Run, evidence: Evidence) -> Path | None:
    """The profiler's report as the run left it, or as it was written beside the evidence."""
    kept = evidence.of("profile").get("report")
    page = profiler_page(run.folder, run.rules)
    if page is None and kept and Path(str(kept)).is_file():
        return Path(str(kept))
    return page


def rules_file(run: Run) -> Path | None:
    """All results of the rules in one file."""
    path = run.folder / RULE_OUTPUT / RULES_NAME
    return path if path.is_file() else None


def variable_plot(run: Run, evidence: Evidence, out: Path) -> Path | None:
    """The picture of the loss over the steps: as it was kept, or drawn into `out`."""
    kept = [path for path in evidence.pictures if path.name == PICTURE]
    if kept:
        return kept[0]
    if not _source(run).has_tensors():
        return None
    try:
        ask_debugger("plot", str(run.folder), VARIABLE, "--out", str(out))
    except KennelError:
        return None
    return out if out.is_file() else None


def _source(run: Run) -> DebugSource:
    return DebugSource(folder=run.folder, name=str(run.folder), run=run)

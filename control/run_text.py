"""How a run ended, in words: its figures, why, where things are, what to do next."""

from pathlib import Path

from contract.job import JobResult
from contract.manifest import MANIFEST_NAME
from control.debug_text import profiler_page
from control.rule_text import rule_table
from control.run_in_aws import aws_lines
from control.runs import LOG_NAME, Run, read_run
from control.summary import metric_lines
from control.terminal import duration


def result_text(
    result: JobResult,
    advice: str = "",
    job: Path = Path("JOB.toml"),
    *,
    has_told_metrics: bool = False,
) -> str:
    """How a job ended, where things are and what to do next, or the advice that it gave.

    `job` is its file, where that is known; `has_told_metrics`: its own last lines stand above.
    """
    run = read_run(result.folder)
    lines = [
        "",
        *(() if has_told_metrics else metric_lines(result.metrics)),
        *(["", rule_table(run.rules), ""] if run.rules else []),
        f"job {result.name}: {result.status} after {duration(result.seconds)}",
    ]
    if result.failure_reason:
        lines.append(f"reason:  {result.failure_reason}")
    lines += aws_lines(run)
    lines.append(f"folder:  {result.folder}")
    if run.report.is_file():
        lines.append(f"report:  {run.report}")
    if page := profiler_page(result.folder, run.rules):
        lines.append(f"profile: {page}")
    if advice:
        lines.append(advice)
        return "\n".join(lines)
    following = _after_failure(run, job) if result.status == "Failed" else _after(result, run)
    for label, command in zip(("next:", *[""] * len(following)), following, strict=False):
        lines.append(f"{label.ljust(9)}{command}")
    return "\n".join(lines)


def _after(result: JobResult, run: Run) -> list[str]:
    following = [f"kennel report {result.folder}"] if run.rules else []
    if (result.model_dir / MANIFEST_NAME).is_file():
        following += [f"kennel serve {result.folder}"]
        following += [f"kennel predict PICTURE --bundle {result.folder}"]
    return following


def _after_failure(run: Run, job: Path) -> list[str]:
    """The whole log, what rules saw, and whether machine and account have what the job needs."""
    log = run.folder / LOG_NAME
    following = [f"less {log}"] if log.is_file() else []
    if run.aws and not following:
        following.append(f"kennel run --attach {run.folder}")  # reads the log again
    following += [f"kennel report {run.folder}"] if run.rules else []
    return [*following, f"kennel doctor {job}" if run.aws else "kennel doctor"]

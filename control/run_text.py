"""How a run ended, in words: its figures, why, where things are, what to do next."""

from contract.job import JobResult
from contract.manifest import MANIFEST_NAME
from control.debug_text import profiler_page
from control.rule_text import rule_table
from control.run_in_aws import aws_lines
from control.runs import read_run
from control.summary import metric_lines
from control.terminal import duration


def result_text(result: JobResult, advice: str = "") -> str:
    """How a job ended, where things are and what to do next, or the advice that it gave."""
    run = read_run(result.folder)
    lines = [
        "",
        *metric_lines(result.metrics),
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
    following = [f"kennel report {result.folder}"] if run.rules else []
    has_model = (result.model_dir / MANIFEST_NAME).is_file()
    if has_model and result.status != "Failed":
        following += [f"kennel serve {result.folder}"]
        following += [f"kennel predict PICTURE --bundle {result.folder}"]
    for label, command in zip(("next:", *[""] * len(following)), following, strict=False):
        lines.append(f"{label.ljust(9)}{command}")
    return "\n".join(lines)

"""`kennel report`: what a run below runs/ came to, and the page of everything that it left."""

import argparse
import contextlib
from pathlib import Path

from contract.errors import HostError, KennelError
from contract.rule_result import RULE_OUTPUT, RULES_NAME
from control.debug_source import DebugSource
from control.debug_text import profiler_page
from control.debugger_child import ask_debugger
from control.parser import Command, Parser, add_output_format
from control.rule_text import rule_table
from control.runs import REPORT_NAME, RUN_NAME, RUNS, UNDER_WAY, Run, find_run, settle_run
from control.study_runs import is_study
from control.summary import metric_lines
from control.terminal import complain, duration, say, say_json

PLOT_NAME = "plot.png"


def show_report(arguments: argparse.Namespace) -> int:
    """One run's metrics and rules, and the page of everything that it left."""
    run = find_run(RUNS, arguments.run)
    page = _page_of(run)
    training = run.report if run.report.is_file() else None
    profile = profiler_page(run.folder, run.rules)
    plot = _plot_of(run, arguments.plot)
    if arguments.output == "json":
        say_json(
            {
                **run.to_json(),
                "report": _text(page or training),
                "training_report": _text(training),
                "profiler_report": _text(profile),
                "plot": _text(plot),
            }
        )
        return 0
    after = f" after {duration(run.seconds)}" if run.seconds else ""
    lines = [f"run {run.folder.name}: {run.status}{after}"]
    if run.failure_reason:
        lines.append(f"reason:  {run.failure_reason}")
    lines += metric_lines(run.metrics)
    lines += ["", rule_table(run.rules), ""] if run.rules else []
    lines.append(f"report:  {page or training or 'none was written'}")
    if page and training:
        lines.append(f"         {training}, training alone")
    if profile:
        lines.append(f"profile: {profile}")
    if plot:
        lines.append(f"plot:    {plot}")
    say("\n".join(lines))
    return 0


def _page_of(run: Run) -> Path | None:
    """The one page, built unless it is there and newer than all that it shows.

    None: there is nothing to show, it is a study's run, or the page cannot be built, which is said.
    """
    source = DebugSource(folder=run.folder, name=str(run.folder), run=run)
    if is_study(run) or not (run.report.is_file() or source.has_tensors() or source.has_profile()):
        return None
    with contextlib.suppress(HostError):
        settle_run(run)  # the page reads run.json
    page = run.folder / REPORT_NAME
    if run.status in UNDER_WAY or not _is_newer(page, _shown_files(run)):
        try:
            ask_debugger("report", str(run.folder), "--out", str(page))
        except KennelError as error:
            complain(f"note: no page of everything: {error}")
    return page if page.is_file() else None


def _plot_of(run: Run, names: list[str]) -> Path | None:
    """Saved tensors or scalars against steps, drawn anew. Raises UsageError: there is none."""
    if not names:
        return None
    picture = run.folder / PLOT_NAME
    ask_debugger("plot", str(run.folder), *names, "--out", str(picture))
    return picture


def _shown_files(run: Run) -> list[Path]:
    return [run.folder / RUN_NAME, run.folder / RULE_OUTPUT / RULES_NAME, run.report]


def _is_newer(page: Path, files: list[Path]) -> bool:
    if not page.is_file():
        return False
    made = page.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns <= made for path in files if path.is_file())


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def _add_report_arguments(parser: Parser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="a run folder, its number or a job's name; without it, the newest run",
    )
    parser.add_argument(
        "--plot",
        action="append",
        default=[],
        metavar="NAME",
        help="also draw a saved tensor or scalar against steps, e.g. gradient/Linear_weight:mean; "
        "may be repeated, kennel debug tensors lists them",
    )
    add_output_format(parser)


REPORT = Command(
    name="report",
    help="show a run's metrics and build its page",
    description=(
        "Print the metrics of a run and what its rules found, and build one self-contained page\n"
        "of everything that it left: training curves, confusion, findings, profile."
    ),
    examples=(
        "kennel report",
        "kennel report 3",
        "kennel report 3 --plot CrossEntropyLoss_output_0",
        "kennel report digits -o json",
    ),
    add_arguments=_add_report_arguments,
    run=show_report,
)

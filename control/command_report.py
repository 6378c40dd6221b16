"""`kennel report` and `kennel list`: what the runs below runs/ came to."""

import argparse

from control.parser import Command, Parser, add_output_format
from control.runs import RUNS, Run, find_run, list_runs
from control.summary import headline, metric_lines
from control.terminal import duration, say, say_json, table


def show_report(arguments: argparse.Namespace) -> int:
    """The path of one run's page and its metrics."""
    run = find_run(RUNS, arguments.run)
    report = str(run.report) if run.report.is_file() else None
    if arguments.output == "json":
        say_json({**run.to_json(), "report": report})
        return 0
    lines = [f"run {run.folder.name}: {run.status} after {duration(run.seconds)}"]
    if run.failure_reason:
        lines.append(f"reason:  {run.failure_reason}")
    say("\n".join([*lines, *metric_lines(run.metrics)]))
    say(f"report:  {report or 'none was written'}")
    return 0


def show_list(arguments: argparse.Namespace) -> int:
    """Every run, oldest first."""
    runs = list_runs(RUNS)
    if arguments.output == "json":
        say_json({"runs": [run.to_json() for run in runs]})
    elif runs:
        say(table(("run", "status", "result", "took", "started"), [_row(run) for run in runs]))
    else:
        say(f"no run in {RUNS}/ yet: start one with `kennel run JOB.toml`")
    return 0


def _row(run: Run) -> tuple[str, ...]:
    took = duration(run.seconds) if run.seconds else "-"
    started = run.started_at[:16].replace("T", " ")
    return (run.folder.name, run.status, headline(run.metrics), took, started)


def _add_report_arguments(parser: Parser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="a run folder, its number or a job's name; without it, the newest run",
    )
    add_output_format(parser)


REPORT = Command(
    name="report",
    help="show a run's metrics and where its report is",
    description="Print the metrics of a run and the path of its self-contained report.html.",
    examples=("kennel report", "kennel report 3", "kennel report digits -o json"),
    add_arguments=_add_report_arguments,
    run=show_report,
)
LIST = Command(
    name="list",
    help="list the runs with status, result and time",
    description="List every run below runs/, oldest first. Times are UTC.",
    examples=("kennel list", "kennel list -o json"),
    add_arguments=add_output_format,
    run=show_list,
)

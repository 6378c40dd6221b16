"""`kennel list`: the runs of this machine, and with --cost what of ours is in AWS."""

import argparse
from datetime import UTC, datetime

from contract.errors import UsageError
from control.parser import Command, Parser, add_output_format
from control.runs import RUNS, Run, list_runs
from control.summary import headline
from control.terminal import duration, say, say_json, table

CONNECTIONS = 32  # of the account: several listings at once, each with several questions
SHOW = (
    "print the requests to AWS that are known before any answer, and stop there; what more is "
    "asked depends on the answers"
)


def show_list(arguments: argparse.Namespace) -> int:
    """Every run, oldest first; or what costs money in AWS. 1 when AWS let us see a part only."""
    if arguments.show and not arguments.cost:
        raise UsageError("--show: only `kennel list --cost` asks AWS")
    if arguments.cost:
        return _show_costs(arguments)
    runs = list_runs(RUNS)
    if arguments.output == "json":
        say_json({"runs": [run.to_json() for run in runs]})
    elif runs:
        say(table(("run", "status", "result", "took", "started"), [_row(run) for run in runs]))
    else:
        say(f"no run in {RUNS}/ yet: start one with `kennel run JOB.toml`")
    return 0


def _show_costs(arguments: argparse.Namespace) -> int:
    from control.aws.account import Account
    from control.aws.call import calls_json
    from control.aws.house.cost_text import cost_json, cost_text
    from control.aws.house.first_calls import first_of_list
    from control.aws.house.inventory import inventory

    if arguments.show:
        say_json(calls_json(first_of_list()))
        return 0
    account = Account(connections=CONNECTIONS)
    found = inventory(account)
    now = datetime.now(UTC)
    if arguments.output == "json":
        say_json(cost_json(found, account.region, account.id, now))
    else:
        say(cost_text(found, account.region, account.id, now))
    return 1 if found.gaps else 0


def _row(run: Run) -> tuple[str, ...]:
    took = duration(run.seconds) if run.seconds else "-"
    started = run.started_at[:16].replace("T", " ")
    return (run.folder.name, run.status, headline(run.metrics), took, started)


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--cost",
        action="store_true",
        help="instead of runs, what of ours is in AWS: endpoints, jobs, instances, functions kept "
        "ready, with their price an hour, so far and until they end; in the configured region",
    )
    parser.add_argument("--show", action="store_true", help=f"with --cost: {SHOW}")
    add_output_format(parser)


LIST = Command(
    name="list",
    help="list the runs, or what of ours costs money in AWS",
    description=(
        "List every run below runs/, oldest first. With --cost, list everything in one region of\n"
        "AWS that is tagged as ours, and what it costs. Times are UTC."
    ),
    examples=(
        "kennel list",
        "kennel list -o json",
        "kennel list --cost",
        "kennel list --cost --show",
    ),
    add_arguments=_add_arguments,
    run=show_list,
)

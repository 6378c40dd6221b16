"""`kennel cleanup`: remove from AWS what is tagged as ours."""

import argparse
import sys
from collections.abc import Sequence
from typing import TextIO

from contract.errors import UsageError
from contract.strict import nearest
from control.aws.account import Account
from control.aws.call import calls_json
from control.aws.house.clean import Left, clean
from control.aws.house.found import Found, dollars
from control.aws.house.inventory import Inventory, inventory
from control.aws.house.leavings import leavings, leavings_text
from control.aws.house.removal import Removal, removals
from control.aws.money import confirm
from control.command_list import CONNECTIONS
from control.parser import Command, Parser, add_output_format
from control.terminal import complain, say, say_json, table

INTERRUPTED = 130


def cleanup(arguments: argparse.Namespace) -> int:
    """0 when nothing is left of what was to go; 1 when something is, or could not be looked for."""
    _check_name(arguments)
    echo = sys.stderr if arguments.output == "json" else sys.stdout
    account = Account(connections=CONNECTIONS)
    every = inventory(account, with_roles=arguments.roles)
    chosen = every if arguments.all else every.of(arguments.name)
    plan = removals(chosen.ours)
    if arguments.show:
        say_json(calls_json(call for removal in plan for call in removal.calls))
        return 0
    for gap in every.gaps:
        say(f"cannot be listed: {gap.what}: {gap.why}", to=echo)
    if not plan:
        return _nothing(arguments, every, account.region)
    say(_table(plan), to=echo)
    kept = leavings(account, [one.thing for one in plan], with_images=arguments.all)
    confirm(
        is_yes=arguments.yes,
        because=f"{len(plan)} things in {account.region} would go",
        otherwise="nothing was removed from AWS",
        to=echo,
    )
    try:
        left = clean(account, plan, lambda line: say(line, to=echo))
    except KeyboardInterrupt:
        which = "--all" if arguments.all else arguments.name
        again = f"kennel cleanup {which}{' --roles' if arguments.roles else ''}"
        complain(f"stopped; what was told to go goes on in AWS, `{again}` removes the rest")
        return INTERRUPTED
    _say_end(arguments, every, plan, left, echo)
    if arguments.output == "json":
        say_json(
            {
                "region": account.region,
                "removed": [
                    _thing(one.thing) for one in plan if one.thing not in [x.thing for x in left]
                ],
                "left": [{**_thing(one.thing), "why": one.why} for one in left],
                "still_costs": [one.to_json() for one in kept],
                "not_listed": [{"what": gap.what, "why": gap.why} for gap in every.gaps],
            }
        )
    else:
        say("\n".join([*leavings_text(kept), "next:    kennel list --cost"]))
    return 1 if left or every.gaps else 0


def _check_name(arguments: argparse.Namespace) -> None:
    """Raises UsageError: neither a name nor --all, or both."""
    if arguments.name and arguments.all:
        raise UsageError(
            f"{arguments.name} and --all: give the name, or --all for everything of ours"
        )
    if not arguments.name and not arguments.all:
        raise UsageError(
            "expected the NAME of a job, a deployment or a function, or --all: "
            "`kennel list --cost` shows what there is"
        )


def _nothing(arguments: argparse.Namespace, every: Inventory, region: str) -> int:
    """Nothing is there, which is what was asked for, unless the name is a slip of the pen."""
    near = nearest(arguments.name, every.names) if arguments.name else None
    hint = f"; did you mean {near!r}?" if near else ""
    whose = f"of the name {arguments.name!r}" if arguments.name else "of ours"
    if arguments.output == "json":
        gaps = [{"what": gap.what, "why": gap.why} for gap in every.gaps]
        empty: dict[str, object] = {"removed": [], "left": [], "still_costs": []}
        say_json({"region": region, **empty, "not_listed": gaps})
    elif every.gaps:
        what = ", ".join(gap.what for gap in every.gaps)
        say(f"nothing {whose} was found in {region}; of {what} kennel cannot tell{hint}")
    else:
        say(f"nothing {whose} is in {region}{hint}")
    return 1 if every.gaps else 0


def _table(plan: Sequence[Removal]) -> str:
    rows = [
        (one.verb, thing.kind, thing.id, thing.what, price)
        for one in plan
        for thing in (one.thing,)
        for price in (dollars(thing.per_hour) if thing.is_billed else "-",)
    ]
    return table(("", "kind", "id", "what", "an hour"), rows)


def _say_end(
    arguments: argparse.Namespace,
    every: Inventory,
    plan: Sequence[Removal],
    left: Sequence[Left],
    echo: TextIO,
) -> None:
    say(f"{len(plan) - len(left)} of {len(plan)} things are gone", to=echo)
    for one in left:
        say(f"left:    {one.thing.kind} {one.thing.id}: {one.why}", to=echo)
    if arguments.all:
        for thing in every.untagged:
            say(f"untagged {thing.kind} {thing.id} was left alone", to=echo)
    if left:
        say("         type the same command again when that is done", to=echo)


def _thing(thing: Found) -> dict[str, str]:
    return {"kind": thing.kind, "id": thing.id, "name": thing.name}


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="of the job, the deployment or the function"
    )
    parser.add_argument("--all", action="store_true", help="everything that is tagged as ours")
    parser.add_argument(
        "--roles", action="store_true", help="also roles that `kennel iam create` made"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--show", action="store_true", help="print the requests that would be sent, and stop there"
    )
    add_output_format(parser)


CLEANUP = Command(
    name="cleanup",
    help="remove from AWS what is tagged as ours",
    description=(
        "Remove what a job, a deployment or a function made in one region of AWS: scaling,\n"
        "endpoint, configuration, models, alarms, schedules, log groups, running jobs, instances,\n"
        "functions. Shows it first and asks. Archives in S3 and images in ECR are named, not\n"
        "deleted."
    ),
    examples=(
        "kennel cleanup dogs",
        "kennel cleanup dogs --show",
        "kennel cleanup --all --yes",
        "kennel cleanup --all --roles",
    ),
    add_arguments=_add_arguments,
    run=cleanup,
)

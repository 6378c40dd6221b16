"""`kennel iam`: the least that people and roles must be allowed in AWS: printed, or made."""

import argparse
import sys
from pathlib import Path
from typing import TextIO

from contract.errors import UsageError
from control.aws.access.chosen import KEYS, PEOPLE, Chosen, check_words, choose
from control.aws.access.making import TAKEN, Change, change_of, creation, make, wanted_roles
from control.aws.access.reading import Narrowing, scope_of
from control.aws.access.standing import check_schedules
from control.aws.access.text import policies_json, policy_text
from control.aws.account import Account
from control.aws.call import calls_json
from control.aws.money import confirm
from control.parser import Command, Parser, add_output_format
from control.s3 import S3Uri
from control.terminal import say, say_json

ACTIONS = ("show", "create")
INTERRUPTED = 130
ALL_NAMES = "all of each kind; files, or --prefix NAME, make it less"
NARROWER = "jobs and endpoints that are there go on as these roles"

UNSEEN = (
    "whether a scheduled deletion needs what is taken away cannot be told; what no schedule may "
    "delete goes on costing"
)


def iam(arguments: argparse.Namespace) -> int:
    """Exit code 0."""
    only, commands = _words(arguments.only), _words(arguments.commands)
    check_words(only, commands)
    if arguments.prefix and arguments.files:
        raise UsageError("--prefix is for when no files say the names: give one or the other")
    account = Account()
    narrowing = Narrowing(
        prefix=arguments.prefix,
        places=tuple(S3Uri.parse(text) for text in arguments.bucket),
        functions=tuple(arguments.function),
        buckets=tuple(arguments.allow_bucket),
        account=arguments.account,
        region=arguments.region,
    )
    scope, of_files = scope_of(account, arguments.files, narrowing)
    chosen = choose(scope, only, commands, of_files if arguments.files else None)
    return (_show if arguments.action == "show" else _create)(arguments, chosen, account)


def _show(arguments: argparse.Namespace, chosen: Chosen, _: Account) -> int:
    if arguments.output == "json":
        say_json(policies_json(chosen))
        return 0
    for key in chosen.keys:
        say(policy_text(chosen, key))
    if not arguments.files and not arguments.prefix:
        say(f"names:   {ALL_NAMES}")
    say(f"next:    {_again('create', arguments)}")
    return 0


def _create(arguments: argparse.Namespace, chosen: Chosen, account: Account) -> int:
    if set(_words(arguments.only)) & set(PEOPLE):
        raise UsageError(
            "kennel iam create makes roles; policies of people are printed by `kennel iam show`, "
            "and an administrator attaches them to a user, a group or a permission set"
        )
    wanted = wanted_roles(chosen.roles, chosen.scope)
    if arguments.show:
        say_json(calls_json(call for one in wanted for call in creation(one)))
        return 0
    echo = sys.stderr if arguments.output == "json" else sys.stdout
    if account.id != chosen.scope.account:
        raise UsageError(
            f"you are in the account {account.id}, and the policies are for "
            f"{chosen.scope.account}: take other credentials, or --account {account.id}"
        )
    changes = [change_of(account, one, is_exact=arguments.exact) for one in wanted]
    if arguments.exact and (why := check_schedules(account, changes)):
        say(f"warning: {UNSEEN}: {why}", to=echo)
    _agree(changes, arguments, echo)
    for change in changes:
        try:
            make(account, change)
        except KeyboardInterrupt:
            say("kennel: stopped; the same command goes on", to=sys.stderr)
            return INTERRUPTED
        more = ", and stays allowed what other files needed" if change.keeps_more else ""
        say(f"role:    {change.wanted.name}: {change.verb}{more}", to=echo)
    if arguments.output == "json":
        say_json(
            [
                {
                    "role": one.wanted.name,
                    "change": one.verb,
                    "differs": list(one.lines),
                    **one.wanted.to_json(),
                }
                for one in changes
            ]
        )
    else:
        say("next:    kennel doctor JOB.toml")
    return 0


def _agree(changes: list[Change], arguments: argparse.Namespace, echo: TextIO) -> None:
    """What is there goes only when the person has seen what. Raises UsageError."""
    updates = [one for one in changes if one.is_replacing]
    for change in updates:
        say(f"role:    {change.wanted.name}: + is added, - is taken away:", to=echo)
        for line in change.lines:
            say(f"         {line}", to=echo)
    if arguments.exact and any(line.startswith(TAKEN) for one in updates for line in one.lines):
        say(f"warning: {NARROWER}", to=echo)
    if updates and not arguments.files and not arguments.prefix:
        say(f"names:   {ALL_NAMES}", to=echo)
    if updates:
        confirm(
            is_yes=arguments.yes,
            because="roles that are there would change",
            otherwise="nothing was changed in AWS",
            to=echo,
        )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _again(action: str, arguments: argparse.Namespace) -> str:
    return " ".join(["kennel iam", action, *map(str, arguments.files)])


def _add_arguments(parser: Parser) -> None:
    parser.is_intermixed = True
    parser.add_argument("action", choices=ACTIONS, help="print the policies, or make the roles")
    parser.add_argument(
        "files",
        metavar="FILE.toml",
        nargs="*",
        type=Path,
        help="jobs, studies and deployments, whose names and places alone are allowed",
    )
    parser.add_argument(
        "--only", default="", metavar="WHO,...", help=f"of {', '.join(KEYS)}; default all"
    )
    parser.add_argument(
        "--commands", default="", metavar="NAME,...", help="a person of these commands alone"
    )
    parser.add_argument("--prefix", default="", help="without files: how all names begin")
    for flag, what in (
        ("bucket", "s3://BUCKET/PREFIX besides the files'; without files s3://kennel-ACCOUNT"),
        ("function", "a function in Lambda; default the names of the endpoints"),
        ("allow-bucket", "whose pictures functions may read"),
    ):
        parser.add_argument(
            f"--{flag}", action="append", default=[], metavar=flag.upper(), help=what
        )
    parser.add_argument("--account", default="", help="twelve digits; default whose you are")
    parser.add_argument("--region", default="", help="default the files', or yours")
    parser.add_argument(
        "--show",
        action="store_true",
        help="create: print the requests that make the roles, as if none was there, and stop",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="create: take from roles that are there what is not named now; without it rights are "
        "added, never taken away",
    )
    parser.add_argument("--yes", action="store_true", help="create: agree that roles change")
    add_output_format(parser)


IAM = Command(
    name="iam",
    help="the least rights in AWS: print the policies, make the roles",
    description=(
        "show prints what people must be allowed who run kennel, and what its roles must be:\n"
        "no more than commands really call, on the names and places of the files. create makes\n"
        "the roles kennel-training, -endpoint, -lambda, -expiry and -ec2, or adds what they lack."
    ),
    examples=(
        "kennel iam show jobs/dogs_aws.toml",
        "kennel iam show --prefix dogs --only person -o json",
        "kennel iam create jobs/dogs_aws.toml jobs/dogs_endpoint.toml --show",
        "kennel iam create --only training,endpoint",
    ),
    add_arguments=_add_arguments,
    run=iam,
)

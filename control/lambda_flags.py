"""The flags of `kennel lambda`, and which action takes which."""

import argparse
import shlex
from pathlib import Path

from contract.errors import UsageError
from control.aws.lambdas.events import DOORS
from control.aws.lambdas.function_spec import EXPIRY_ROLE, LAMBDA_ROLE
from control.command_predict import DEFAULT_URL
from control.parser import Parser, add_output_format

ACTIONS = ("deploy", "test", "delete")
# The flags of one action alone, as argparse calls them.
ONLY = {
    "deploy": (
        *("endpoint", "role", "create_role", "timeout_seconds", "memory_mb", "url", "public"),
        *("allow_host", "allow_bucket", "allow_origin", "max_bytes", "provisioned_concurrency"),
        *("reserved_concurrency", "log_days", "ttl_hours", "expiry_role"),
    ),
    "test": ("picture", "event", "target_model", "here"),
    "delete": ("with_role",),
}


def check_flags(arguments: argparse.Namespace) -> None:
    """Raises UsageError: a flag of another action, or no picture to test with."""
    action = arguments.action
    for other, names in ONLY.items():
        given = [name for name in names if getattr(arguments, name) not in (None, False, [], "")]
        if other != action and given:
            word = "PICTURE" if given[0] == "picture" else "--" + given[0].replace("_", "-")
            raise UsageError(f"kennel lambda {action}: {word} is for `kennel lambda {other}`")
    if action == "test" and arguments.picture is None:
        raise UsageError("kennel lambda test NAME PICTURE: which picture?")
    if action == "test" and arguments.here and arguments.show:
        raise UsageError("--here asks nothing of AWS: there is no request to --show")


def again(arguments: argparse.Namespace) -> str:
    """The command that deploys: a flag that is left out takes away what it asked for."""
    words = ["kennel", "lambda", "deploy", arguments.name]
    for name in ONLY["deploy"]:
        flag, value = "--" + name.replace("_", "-"), getattr(arguments, name)
        if isinstance(value, list):
            words += [word for item in value for word in (flag, item)]
        elif value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)


def add_lambda_arguments(parser: Parser) -> None:
    """All flags."""
    parser.is_intermixed = True
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument("name", metavar="NAME", help="the function's name")
    parser.add_argument("picture", metavar="PICTURE", nargs="?", type=Path, help="of test")
    _add_deploy_arguments(parser)
    _add_limits(parser)
    parser.add_argument(
        "--event", choices=DOORS, help="test by this door: how the picture comes; default direct"
    )
    parser.add_argument(
        "--target-model", default="", metavar="MODEL", help="test: one of many behind the endpoint"
    )
    parser.add_argument(
        "--here",
        nargs="?",
        const=DEFAULT_URL,
        metavar="URL",
        help=f"test: run the function on this machine before a server; default {DEFAULT_URL}",
    )
    parser.add_argument(
        "--with-role", action="store_true", help="delete: its role, too, if nothing else uses it"
    )
    parser.add_argument(
        "--yes", action="store_true", help="agree to what it costs, or to what delete removes"
    )
    parser.add_argument(
        "--show", action="store_true", help="print the requests to AWS, and stop there"
    )
    add_output_format(parser)


def _add_deploy_arguments(parser: Parser) -> None:
    parser.add_argument("--endpoint", metavar="ENDPOINT", help="whom the function asks")
    parser.add_argument("--role", help=f"name or ARN; default {LAMBDA_ROLE}")
    parser.add_argument(
        "--create-role",
        action="store_true",
        help="make the role, with the least rights, if it is not there",
    )
    parser.add_argument("--url", action="store_true", help="an address of its own (Function URL)")
    parser.add_argument(
        "--public", action="store_true", help="the address needs no signature of AWS's; asks first"
    )
    for flag, what in (
        ("host", 'whose pictures {"url": ...} may name: HOST or *.DOMAIN'),
        ("bucket", 'whose pictures {"s3": ...} may name'),
        ("origin", "of web pages that may ask: https://HOST, or *"),
    ):
        parser.add_argument(
            f"--allow-{flag}",
            action="append",
            default=[],
            metavar=flag.upper(),
            help=f"{what}; may be repeated",
        )


def _add_limits(parser: Parser) -> None:
    numbers = (
        ("timeout-seconds", "10 to 900; default 75; 29 behind API Gateway, which waits no longer"),
        ("memory-mb", "128 to 10240, which the processor's share follows; default 512"),
        ("max-bytes", "of a picture; default 6291456; 4194304 before a serverless endpoint"),
        ("provisioned-concurrency", "instances kept ready, as alias live; billed always"),
        ("reserved-concurrency", "at most so many at once; 0 stops it"),
        ("log-days", "until its log is deleted; default 30"),
    )
    for flag, what in numbers:
        parser.add_argument(f"--{flag}", type=int, metavar="N", help=what)
    parser.add_argument(
        "--ttl-hours", type=float, metavar="H", help="until AWS deletes it; default never"
    )
    parser.add_argument(
        "--expiry-role", metavar="ROLE", help=f"of that deletion; default {EXPIRY_ROLE}"
    )

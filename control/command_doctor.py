"""`kennel doctor`: what this machine has, and what has to be done before a file can run."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from control.aws.call import calls_json
from control.aws.house.check import Check, note
from control.command_list import SHOW
from control.machine import facts
from control.parser import Command, Parser, add_output_format
from control.terminal import say, say_json

WORDS = {True: "fine", False: "to do", None: "note"}


def doctor(arguments: argparse.Namespace) -> int:
    """0 when everything is fine, 1 when something must be done."""
    # Here: every reader of every file comes with them.
    from control.aws.house.examine import examine
    from control.aws.house.first_calls import first_of_doctor

    if arguments.show:
        say_json(calls_json(first_of_doctor(arguments.file)))
        return 0
    known = facts()
    checks = examine(known, arguments.file, arguments.pictures)
    to_do = sum(check.is_ok is False for check in checks)
    if arguments.output == "json":
        every = [*(note(name, value) for name, value in known.items()), *checks]
        say_json([check.to_json() for check in every])
        return 1 if to_do else 0
    if not arguments.file:
        width = max(map(len, known))
        say("\n".join(f"{name.ljust(width)}  {value}" for name, value in known.items()))
        say()
    say("\n".join(_lines(checks)))
    say(f"{to_do} to do" if to_do else "nothing to do")
    return 1 if to_do else 0


def _lines(checks: Sequence[Check]) -> list[str]:
    width = max(len(check.check) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{WORDS[check.is_ok]:5}  {check.check.ljust(width)}  {check.said}")
        if check.remedy:
            lines.append(f"{'':5}  {'':{width}}  -> {check.remedy}")
    return lines


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE.toml",
        nargs="?",
        type=Path,
        help="a job, a study or a deployment: what it needs in AWS is looked at, too",
    )
    parser.add_argument(
        "--pictures",
        metavar="DIR",
        type=Path,
        help="a folder of what would be sent: files above the endpoint's limit are counted",
    )
    parser.add_argument("--show", action="store_true", help=SHOW)
    add_output_format(parser)


DOCTOR = Command(
    name="doctor",
    help="say what this machine has, and what has to be done before a file can run",
    description=(
        "Print versions, processors, memory, disk, GPU and Docker, for a bug report, then what\n"
        "is fine and what must be done. With a file: credentials, region, roles, quotas, images,\n"
        "CUDA against host image, bundles, data and buckets, each line fine, or with what to do."
    ),
    examples=(
        "kennel doctor",
        "kennel doctor -o json",
        "kennel doctor jobs/dogs_aws.toml",
        "kennel doctor jobs/dogs_aws.toml --show",
        "kennel doctor jobs/dogs_endpoint.toml --pictures photos",
    ),
    add_arguments=_add_arguments,
    run=doctor,
)

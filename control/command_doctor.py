"""`kennel doctor`: what this machine has, in one paste for a bug report."""

import argparse

from control.machine import facts
from control.parser import Command, add_output_format
from control.terminal import say, say_json


def doctor(arguments: argparse.Namespace) -> int:
    """Always 0: it reports, it does not judge."""
    found = facts()
    if arguments.output == "json":
        say_json(found)
        return 0
    width = max(map(len, found))
    say("\n".join(f"{name.ljust(width)}  {value}" for name, value in found.items()))
    return 0


DOCTOR = Command(
    name="doctor",
    help="say what this machine has: versions, chips, memory, disk",
    description="Print versions, processors, memory, disk, GPU and Docker, for a bug report.",
    examples=("kennel doctor", "kennel doctor -o json"),
    add_arguments=add_output_format,
    run=doctor,
)

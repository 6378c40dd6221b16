"""Where a command runs: --on and the flags that only containers have, for several commands."""

import argparse
from collections.abc import Sequence

from contract.errors import HostError, UsageError
from contract.strict import nearest
from control.docker_engine import GPU_CHOICES, Engine, ask_engine
from control.parser import Parser
from control.terminal import complain

PLACES = ("process", "container")
AWS, EC2 = "aws", "ec2"  # a training job of SageMaker's; an instance of our own
IN_AWS = (AWS, EC2)


def add_place(parser: Parser, image: str, places: Sequence[str] = PLACES) -> None:
    """The flags --on, --image and --gpus; `image` is named as the default."""
    first, *others = places
    words = (f"{first} (the default)", *others)
    parser.add_argument("--on", default=first, metavar="PLACE", help=_listed(words, "or"))
    parser.add_argument("--image", metavar="NAME", help=f"of the container; default {image}")
    parser.add_argument(
        "--gpus",
        choices=GPU_CHOICES,
        help="of the container; default auto: all, where the engine has NVIDIA's runtime",
    )


def place_of(arguments: argparse.Namespace, places: Sequence[str] = PLACES) -> str:
    """What --on says. Raises UsageError for a place that the command does not know."""
    place = str(arguments.on)
    if place not in places:
        near = nearest(place, places)
        hint = f"; did you mean {near!r}?" if near else ""
        known = _listed(places, "and")
        raise UsageError(f"--on {place}: this version knows {known}{hint}")
    return place


def is_container(arguments: argparse.Namespace) -> bool:
    """Whether --on says so. Raises UsageError for a place that is not on this machine."""
    return place_of(arguments) == "container"


def only_for_containers(arguments: argparse.Namespace, *more: str) -> None:
    """Raises UsageError when a process is asked for what only a container has."""
    if is_container(arguments):
        return
    refuse(arguments, ("image", "gpus", *more), "a process has none; add --on container")


def refuse(arguments: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Raises UsageError when one of these flags was given: the place has no use for it."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value is not False:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag}{'' if value is True else f' {value}'}: {why}")


def engine_for(arguments: argparse.Namespace) -> Engine:
    """The engine here. With --show one that does not answer is only mentioned."""
    try:
        return ask_engine()
    except HostError as error:
        if not getattr(arguments, "show", False):
            raise
        complain(f"{error}; shown as for an engine without GPUs")
        return Engine()


def _listed(words: Sequence[str], joint: str) -> str:
    """`a or b`; `a, b or c`."""
    return f"{', '.join(words[:-1])} {joint} {words[-1]}"

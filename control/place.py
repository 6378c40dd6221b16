"""Where a command runs: --on and the flags that only containers have, for several commands."""

import argparse

from contract.errors import HostError, UsageError
from contract.strict import nearest
from control.docker_engine import GPU_CHOICES, Engine, ask_engine
from control.parser import Parser
from control.terminal import complain

PLACES = ("process", "container")


def add_place(parser: Parser, image: str) -> None:
    """The flags --on, --image and --gpus; `image` is named as the default."""
    parser.add_argument(
        "--on", default=PLACES[0], metavar="PLACE", help="process (the default) or container"
    )
    parser.add_argument("--image", metavar="NAME", help=f"of the container; default {image}")
    parser.add_argument(
        "--gpus",
        choices=GPU_CHOICES,
        help="of the container; default auto: all, where the engine has NVIDIA's runtime",
    )


def is_container(arguments: argparse.Namespace) -> bool:
    """Whether --on says so. Raises UsageError for a place that does not exist."""
    place = arguments.on
    if place not in PLACES:
        near = nearest(place, PLACES)
        hint = f"; did you mean {near!r}?" if near else ""
        raise UsageError(f"--on {place}: this version knows {' and '.join(PLACES)}{hint}")
    return bool(place == "container")


def only_for_containers(arguments: argparse.Namespace, *more: str) -> None:
    """Raises UsageError when a process is asked for what only a container has."""
    if is_container(arguments):
        return
    for name in ("image", "gpus", *more):
        value = getattr(arguments, name)
        if value is not None:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} {value}: a process has none; add --on container")


def engine_for(arguments: argparse.Namespace) -> Engine:
    """The engine here. With --show one that does not answer is only mentioned."""
    try:
        return ask_engine()
    except HostError as error:
        if not getattr(arguments, "show", False):
            raise
        complain(f"{error}; shown as for an engine without GPUs")
        return Engine()

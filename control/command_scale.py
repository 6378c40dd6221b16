"""`kennel scale`: how many instances an endpoint has: played beforehand, applied, undone."""

import argparse
from pathlib import Path

from contract.errors import UsageError
from contract.strict import nearest
from control.aws.scaling.defaults import PAGE, ROOM, STARTUP_SECONDS
from control.parser import Command, Parser, add_output_format

ACTIONS = ("simulate", "apply", "show", "undo")
# Flags -> the actions that take them.
ONLY = {
    **dict.fromkeys(
        ("deployment", "images_per_second", "measure", "picture", "peak", "hours", "start"),
        ("simulate",),
    ),
    **dict.fromkeys(("instance_type", "price"), ("simulate",)),
    "variant": ("apply", "show", "undo"),
    "yes": ("apply",),
    "show": ("apply", "show", "undo"),
    **dict.fromkeys(("min", "max", "invocations_per_instance"), ("simulate", "apply")),
    **dict.fromkeys(("backlog_per_instance", "provisioned_utilization"), ("simulate", "apply")),
    **dict.fromkeys(("concurrent_requests_per_model",), ("simulate", "apply")),
    "scale_in_cooldown_seconds": ("simulate", "apply"),
    "scale_out_cooldown_seconds": ("simulate", "apply"),
}


def scale(arguments: argparse.Namespace) -> int:
    """Exit code 0: played, applied, shown or undone."""
    _check(arguments)
    if arguments.action == "simulate":
        from control.aws.scaling.play import play

        return play(arguments)
    from control.aws.scaling.actions import apply, show, undo

    return {"apply": apply, "show": show, "undo": undo}[arguments.action](arguments)


def _check(arguments: argparse.Namespace) -> None:
    """Raises UsageError: no such action, or a flag that it does not take."""
    action = arguments.action
    if action not in ACTIONS:
        near = nearest(action, ACTIONS)
        hint = f"did you mean `kennel scale {near}`?" if near else f"known: {', '.join(ACTIONS)}"
        raise UsageError(f"kennel scale: unknown action {action!r}; {hint}")
    for name, actions in ONLY.items():
        value = getattr(arguments, name)
        if value is not None and value is not False and action not in actions:
            raise UsageError(f"kennel scale {action}: takes no --{name.replace('_', '-')}")


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("action", metavar="|".join(ACTIONS), help="what to do, see above")
    parser.add_argument(
        "target",
        metavar="TRACE|ENDPOINT|DEPLOYMENT.toml",
        help="simulate: a CSV file (seconds,requests_per_second, or one time of a request a line),"
        " or a shape: steady, ramp, spike, day; the others: an endpoint by name or by its file",
    )
    _add_policy(parser)
    _add_simulation(parser)
    parser.add_argument("--variant", help="only this one; all of them unless given")
    parser.add_argument(
        "--kind",
        choices=("real-time", "multi-model", "asynchronous", "serverless"),
        help="the endpoint's, where AWS need not be asked",
    )
    parser.add_argument("--yes", action="store_true", help="agree to what it costs")
    parser.add_argument(
        "--show", action="store_true", help="print the requests to AWS, and stop there"
    )
    add_output_format(parser)


def _add_policy(parser: Parser) -> None:
    parser.add_argument("--min", type=int, metavar="N", help="instances; 0 only asynchronous")
    parser.add_argument("--max", type=int, metavar="N", help="instances")
    for flag, what in (
        ("--invocations-per-instance", "target: requests a MINUTE that each instance gets"),
        ("--concurrent-requests-per-model", "target: requests at a time, read every 10 s"),
        ("--backlog-per-instance", "target of an asynchronous endpoint: requests that wait"),
        ("--provisioned-utilization", "target of a serverless one: share in use, 0.1 to 0.9"),
    ):
        parser.add_argument(flag, type=float, metavar="X", help=what)
    for way, what in (("in", "fewer"), ("out", "more")):
        parser.add_argument(
            f"--scale-{way}-cooldown-seconds",
            type=int,
            metavar="S",
            help=f"from one time that there are {what} to the next; default 300, as AWS has it",
        )


def _add_simulation(parser: Parser) -> None:
    parser.add_argument(
        "--deployment",
        type=Path,
        metavar="FILE.toml",
        help="simulate: whose [scaling] and instance type count; flags beat it",
    )
    parser.add_argument(
        "--images-per-second", type=float, metavar="X", help="simulate: of one instance, at most"
    )
    parser.add_argument(
        "--measure",
        type=Path,
        metavar="BUNDLE",
        help="simulate: serve this here for some seconds and measure; an instance differs",
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="simulate: what --measure sends"
    )
    parser.add_argument(
        "--peak", type=float, metavar="X", help="simulate: a shape's requests a second"
    )
    parser.add_argument("--hours", type=float, metavar="H", help="simulate: a shape's length")
    parser.add_argument(
        "--start", type=int, metavar="N", help="simulate: instances at the beginning"
    )
    parser.add_argument("--instance-type", metavar="TYPE", help="simulate: for its price")
    parser.add_argument("--price", type=float, metavar="USD", help="simulate: of an instance hour")
    parser.add_argument(
        "--startup-seconds",
        type=int,
        default=STARTUP_SECONDS,
        metavar="S",
        help=f"simulate: until a new instance answers; default {STARTUP_SECONDS}",
    )
    parser.add_argument(
        "--room",
        type=int,
        default=ROOM,
        metavar="N",
        help=f"simulate: requests that wait in an instance before it refuses; default {ROOM}",
    )
    parser.add_argument(
        "--out", type=Path, default=PAGE, metavar="FILE.html", help=f"simulate: default {PAGE}"
    )


SCALE = Command(
    name="scale",
    help="scale an endpoint with its traffic, and play that beforehand",
    description=(
        "How many instances an endpoint has.\n"
        "  simulate  play traffic against a policy: instances, queue, answers and cost over time\n"
        "  apply     put a policy on an endpoint's variants; again, it is changed\n"
        "  show      what is put on it, and what it did lately\n"
        "  undo      take it off; the instances stay as many as they are\n"
        "The metric is the kind's own: requests a minute of real-time and multi-model endpoints,\n"
        "the backlog of asynchronous ones, provisioned concurrency in use of serverless ones."
    ),
    examples=(
        "kennel scale simulate day --images-per-second 20 --max 4 --invocations-per-instance 600",
        "kennel scale simulate traffic.csv --deployment jobs/dogs_endpoint.toml --measure 3",
        "kennel scale apply dogs --min 1 --max 3 --invocations-per-instance 600",
        "kennel scale apply jobs/dogs_endpoint.toml --show",
        "kennel scale undo dogs",
    ),
    add_arguments=_add_arguments,
    run=scale,
)

"""`kennel serve`: a bundle, or a folder of them, behind HTTP in the foreground, until Ctrl-C."""

import argparse
import shlex
from pathlib import Path

from contract.errors import HostError
from control.bundle_source import opened_bundle
from control.child import Watch, counting_signals, stop, supervise
from control.multi_server import HEADER, plan_multi_server, target_names
from control.parser import Command, Parser
from control.place import add_place
from control.serve_container import IMAGE, plan_server
from control.server import (
    LOOPBACK,
    STOP_SECONDS,
    ServerPlan,
    check_address,
    free_port,
    wait_until_ready,
)
from control.terminal import complain, say

DEFAULT_PORT = 8080  # SageMaker's
MOST_SHOWN = 20  # names of models


def serve(arguments: argparse.Namespace) -> int:
    """Exit code 0 after Ctrl-C or SIGTERM, 1 when the server ended by itself."""
    port = arguments.port or free_port()
    if arguments.multi:
        names = target_names(arguments.bundle)
        plan = plan_multi_server(arguments, arguments.bundle, port)
        return _run(arguments, plan, _multi_ready(plan.url, names))
    with opened_bundle(arguments.bundle) as bundle:
        plan = plan_server(arguments, ServerPlan(bundle=bundle, port=port, host=arguments.host))
        return _run(arguments, plan, _ready(plan.url))


def _run(arguments: argparse.Namespace, plan: ServerPlan, ready: str) -> int:
    if arguments.show:
        say(shlex.join(plan.command))
        return 0
    check_address(plan)
    with counting_signals() as signals:
        server = plan.start()
        if wait_until_ready(server, plan, signals):
            say(ready)
        elif server.poll() is None and not signals.count:
            stop(server, STOP_SECONDS)
            raise HostError(f"the server of {arguments.bundle} did not get ready in time")
        ending = supervise(server, Watch(signals=signals, grace_seconds=STOP_SECONDS))
    if ending.by == "person":
        return 0
    complain(f"the server of {arguments.bundle} ended with {ending.code}: its lines above say why")
    return 1


def _ready(url: str) -> str:
    return (
        f"ready at {url} (drop a picture there, Ctrl-C ends it)\n"
        f"next: kennel predict PICTURE --url {url}"
    )


def _multi_ready(url: str, names: list[str]) -> str:
    shown = [f"  {name}" for name in names[:MOST_SHOWN]]
    more = [f"  and {len(names) - MOST_SHOWN} more"] if len(names) > MOST_SHOWN else []
    ask = ("curl", f"{url}/invocations", "-H", f"{HEADER}: {names[0]}", "--data-binary", "@PICTURE")
    return "\n".join(
        [
            f"ready at {url} (Ctrl-C ends it); target models, each loaded at first use:",
            *shown,
            *more,
            f"next: {shlex.join(ask)}",
        ]
    )


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        type=Path,
        help="a run folder or its number, a bundle's folder, or a model.tar.gz",
    )
    parser.add_argument(
        "--multi",
        action="store_true",
        help="BUNDLE is a folder of these, at any depth: one server for all, asked by target model",
    )
    add_place(parser, IMAGE)
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="default 8080; 0 takes a free one"
    )
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        help="default 127.0.0.1: only this machine may ask; 0.0.0.0 lets everybody",
    )
    parser.add_argument(
        "--show", action="store_true", help="print the command that would be run, and stop there"
    )


SERVE = Command(
    name="serve",
    help="serve a trained bundle, or many, over HTTP",
    description=(
        "Serve a bundle with the same server that the image runs: GET /ping, POST /invocations,\n"
        "and a page at / to drop pictures on. With --multi, a folder of models as a multi-model\n"
        f"endpoint serves them: the header {HEADER} names one."
    ),
    examples=(
        "kennel serve runs/0001-digits",
        "kennel serve model.tar.gz --port 9000",
        "kennel serve --multi models/",
        "kennel serve runs/0001-digits --on container --image kennel-serve",
    ),
    add_arguments=_add_arguments,
    run=serve,
)

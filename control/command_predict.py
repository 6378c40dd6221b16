"""`kennel predict`: what a served bundle says about pictures."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contract.errors import RequestError, UsageError
from control.aws.account import Account
from control.aws.call import Call, calls_json
from control.aws.endpoint.asking import Endpoint
from control.aws.endpoint.multi_spec import target_of
from control.aws.endpoint.payload import MOST_BYTES
from control.aws.waiting import poll_seconds
from control.bundle_source import opened_bundle
from control.client import ask, read_picture
from control.parser import Command, Parser, add_output_format
from control.place import PLACES, add_place, only_for_containers
from control.serve_container import IMAGE, plan_server
from control.server import ServerPlan, free_port, running
from control.terminal import bar, complain, say, say_json

DEFAULT_URL = "http://127.0.0.1:8080"
Pictures = Sequence[tuple[Path, bytes]]
Answers = list[dict[str, Any]]
Refusals = list[tuple[Path, RequestError]]


def predict(arguments: argparse.Namespace) -> int:
    """Exit code 1 when the server refused a picture; the others are answered all the same."""
    pictures = [(path, read_picture(path)) for path in arguments.pictures]
    if arguments.endpoint:
        return _predict_in_aws(arguments, pictures)
    if arguments.target_model or arguments.variant or arguments.show:
        raise UsageError("--target-model, --variant and --show go with --endpoint")
    if arguments.bundle:
        with opened_bundle(arguments.bundle) as bundle:
            plan = plan_server(arguments, ServerPlan(bundle=bundle, port=free_port()))
            with running(plan) as url:
                answers, refused = ask_all(pictures, lambda _, data: ask(url, data))
    elif arguments.on != PLACES[0]:
        raise UsageError(f"--on {arguments.on}: only a server that --bundle starts has a place")
    else:
        only_for_containers(arguments)
        answers, refused = ask_all(pictures, lambda _, data: ask(arguments.url, data))
    return _tell(arguments, answers, refused)


def ask_all(
    pictures: Pictures, asking: Callable[[Path, bytes], dict[str, Any]]
) -> tuple[Answers, Refusals]:
    """(answers with their `picture`, refusals), both in the order of `pictures`."""
    answers: Answers = []
    refused: Refusals = []
    for path, data in pictures:
        try:
            answers.append({"picture": str(path), **asking(path, data)})
        except RequestError as error:
            refused.append((path, error))
    return answers, refused


def _predict_in_aws(arguments: argparse.Namespace, pictures: Pictures) -> int:
    if arguments.on != PLACES[0]:
        raise UsageError(f"--on {arguments.on}: an endpoint has its place in AWS")
    only_for_containers(arguments)
    endpoint = Endpoint(
        account=Account(),
        name=arguments.endpoint,
        target_model=target_of(arguments.target_model) if arguments.target_model else "",
        variant=arguments.variant or "",
        echo=sys.stderr if arguments.output == "json" or arguments.show else sys.stdout,
    )
    poll_seconds()  # a wrong one is told before anything is sent
    if arguments.show:
        return _show(endpoint, pictures)
    endpoint.look()
    endpoint.send_ahead([(str(path), data) for path, data in pictures])
    answers, refused = ask_all(pictures, lambda path, data: endpoint.ask(str(path), data))
    return _tell(arguments, answers, refused)


def _show(endpoint: Endpoint, pictures: Pictures) -> int:
    """The requests to a real-time endpoint: nobody is asked whether it is one."""
    calls: list[Call] = []
    refused: Refusals = []
    for path, data in pictures:
        try:
            calls.append(endpoint.invocation(endpoint.fitting(str(path), data)))
        except RequestError as error:
            refused.append((path, error))
    say_json(calls_json(calls))
    for path, reason in refused:
        complain(f"{path}: {reason}")
    say(
        f"note:    as to a real-time endpoint; a serverless one takes {MOST_BYTES['serverless']:,} "
        "bytes, an asynchronous one PutObject and InvokeEndpointAsync",
        to=sys.stderr,
    )
    return 1 if refused else 0


def _tell(arguments: argparse.Namespace, answers: Answers, refused: Refusals) -> int:
    if arguments.output == "json":
        say_json({"predictions": answers})
    elif answers:
        say("\n\n".join(prediction_text(answer) for answer in answers))
    for path, error in refused:
        complain(f"{path}: {error}")
    return 1 if refused else 0


def prediction_text(answer: dict[str, Any]) -> str:
    """One answer as bars, most likely label first."""
    width = max(len(item["label"]) for item in answer["top"])
    bars = [
        f"  {item['label'].ljust(width)}  {item['probability']:.4f}  "
        f"{bar(item['probability'])}".rstrip()
        for item in answer["top"]
    ]
    return "\n".join([f"{answer['picture']}: {answer['label']}", *bars])


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "pictures", metavar="PICTURE", nargs="+", type=Path, help="JPEG, PNG, WebP, ... files"
    )
    where = parser.add_mutually_exclusive_group()
    where_bundle = where.add_argument(
        "--bundle",
        type=Path,
        metavar="BUNDLE",
        help="serve this on a free port first: what `kennel serve` takes",
    )
    where_url = where.add_argument(
        "--url", default=DEFAULT_URL, help=f"a server that runs already; default {DEFAULT_URL}"
    )
    where_endpoint = where.add_argument(
        "--endpoint", metavar="NAME", help="an endpoint in SageMaker: what `kennel deploy` makes"
    )
    parser.remember(where_bundle, where_url, where_endpoint)
    parser.add_argument(
        "--target-model", metavar="MODEL", help="of a multi-model endpoint, e.g. dogs/v1"
    )
    parser.add_argument("--variant", help="of an endpoint with several: ask this one")
    parser.add_argument(
        "--show", action="store_true", help="print the requests to the endpoint, and stop there"
    )
    add_place(parser, IMAGE)
    add_output_format(parser)


PREDICT = Command(
    name="predict",
    help="ask a server, or a bundle, about pictures",
    description="Send pictures to a server and show the most likely labels of each.",
    examples=(
        "kennel predict dog.jpg cat.png --bundle runs/0001-digits",
        "kennel predict dog.jpg --url http://127.0.0.1:8080 -o json",
        "kennel predict dog.jpg --endpoint dogs",
    ),
    add_arguments=_add_arguments,
    run=predict,
)

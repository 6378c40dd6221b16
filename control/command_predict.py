"""`kennel predict`: what a served bundle says about pictures."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.errors import RequestError, UsageError
from control.bundle_source import opened_bundle
from control.client import ask, read_picture
from control.parser import Command, Parser, add_output_format
from control.place import PLACES, add_place, only_for_containers
from control.serve_container import IMAGE, plan_server
from control.server import ServerPlan, free_port, running
from control.terminal import bar, complain, say, say_json

DEFAULT_URL = "http://127.0.0.1:8080"


def predict(arguments: argparse.Namespace) -> int:
    """Exit code 1 when the server refused a picture; the others are answered all the same."""
    pictures = [(path, read_picture(path)) for path in arguments.pictures]
    if arguments.bundle:
        with opened_bundle(arguments.bundle) as bundle:
            plan = plan_server(arguments, ServerPlan(bundle=bundle, port=free_port()))
            with running(plan) as url:
                answers, refused = ask_all(url, pictures)
    elif arguments.on != PLACES[0]:
        raise UsageError(f"--on {arguments.on}: only a server that --bundle starts has a place")
    else:
        only_for_containers(arguments)
        answers, refused = ask_all(arguments.url, pictures)
    if arguments.output == "json":
        say_json({"predictions": answers})
    elif answers:
        say("\n\n".join(prediction_text(answer) for answer in answers))
    for path, error in refused:
        complain(f"{path}: {error}")
    return 1 if refused else 0


def ask_all(
    url: str, pictures: Sequence[tuple[Path, bytes]]
) -> tuple[list[dict[str, Any]], list[tuple[Path, RequestError]]]:
    """(answers with their `picture`, refusals), both in the order of `pictures`."""
    answers: list[dict[str, Any]] = []
    refused: list[tuple[Path, RequestError]] = []
    for path, data in pictures:
        try:
            answers.append({"picture": str(path), **ask(url, data)})
        except RequestError as error:
            refused.append((path, error))
    return answers, refused


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
    parser.remember(where_bundle, where_url)
    add_place(parser, IMAGE)
    add_output_format(parser)


PREDICT = Command(
    name="predict",
    help="ask a server, or a bundle, about pictures",
    description="Send pictures to a server and show the most likely labels of each.",
    examples=(
        "kennel predict dog.jpg cat.png --bundle runs/0001-digits",
        "kennel predict dog.jpg --url http://127.0.0.1:8080 -o json",
    ),
    add_arguments=_add_arguments,
    run=predict,
)

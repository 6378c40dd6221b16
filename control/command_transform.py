"""`kennel transform`: every picture of a folder or an S3 prefix answered, in one table."""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.errors import HostError, UsageError
from control.bundle_source import opened_bundle
from control.child import counting_signals
from control.client import get_json
from control.command_predict import DEFAULT_URL
from control.parser import Command, Parser
from control.place import PLACES, add_place, only_for_containers
from control.progress import PLAIN_SECONDS, Progress
from control.s3 import SCHEME
from control.serve_container import IMAGE
from control.server import running
from control.terminal import complain, duration, say, say_json
from control.transform_input import S3Input, TransformInput, find_input
from control.transform_output import TransformOutput, open_output
from control.transform_plan import write_plan
from control.transform_results import (
    REFUSED_NAME,
    ResultFiles,
    State,
    TransformFolder,
    TransformJob,
)
from control.transform_row import FORMATS
from control.transform_server import fingerprint, plan_leashed

INTERRUPTED = 130  # 128 + SIGINT, what shells expect
READERS = 2  # threads that read the next pictures while the others wait for the server
S3_READERS = 16  # an object takes tens of milliseconds to come
MOST_CONCURRENT = 256
# `-o json` means something else to every other command.
OUTPUT_FORMATS = frozenset({"json", "table"})


def transform_pictures(arguments: argparse.Namespace) -> int:
    """Exit code 1 when pictures were refused; the others are in the table all the same."""
    _check(arguments)
    with contextlib.ExitStack() as stack:
        bundle = stack.enter_context(opened_bundle(arguments.bundle)) if arguments.bundle else None
        output = stack.enter_context(open_output(arguments.out, arguments.input))
        pictures = find_input(arguments.input, S3_READERS, without=output.folder.out)
        job = TransformJob(
            input=_absolute(arguments.input),
            model=fingerprint(bundle) if bundle else arguments.url,
            format=arguments.format,
            content_type=arguments.content_type,
        )
        state = _find_or_plan(arguments, output, pictures, job)
        if state.done < state.total:
            url = stack.enter_context(_server(arguments, bundle))
            state = _send(arguments, output.folder, pictures, state, url)
        if state.done < state.total:
            complain(
                f"stopped after {state.done:,} of {state.total:,} pictures: the same command "
                "continues there"
            )
            return INTERRUPTED
        output.publish(state)
        _report(arguments, output, state)
    return 1 if state.refused else 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.input.endswith(".toml"):
        told = f"type `kennel deploy {arguments.input}`"
        raise UsageError(f"{arguments.input} describes a transform in AWS: {told}")
    if arguments.out in OUTPUT_FORMATS:
        raise UsageError(
            f"-o {arguments.out}: here -o is where the result goes; --json prints the summary as "
            f"JSON, and -o ./{arguments.out} is a folder of that name"
        )
    if not 0 <= arguments.concurrency <= MOST_CONCURRENT:
        raise UsageError(
            f"--concurrency: expected 0 to {MOST_CONCURRENT}, got {arguments.concurrency}"
        )
    if arguments.bundle:
        return
    if arguments.on != PLACES[0]:
        raise UsageError(f"--on {arguments.on}: only a server that --bundle starts has a place")
    only_for_containers(arguments)


def _find_or_plan(
    arguments: argparse.Namespace,
    output: TransformOutput,
    pictures: TransformInput,
    job: TransformJob,
) -> State:
    """How far this job is already; otherwise its pictures are listed."""
    if arguments.restart:
        output.folder.clear()
    found = None if arguments.restart else output.find(job)
    if found is not None:
        if 0 < found.done < found.total:
            say(f"continuing after {found.done:,} of {found.total:,} pictures", to=sys.stderr)
        return found
    total, told = 0, time.monotonic()
    for total in write_plan(output.folder.plan, pictures.names()):
        if time.monotonic() - told > PLAIN_SECONDS:
            told = time.monotonic()
            say(f"listed {total:,} pictures so far", to=sys.stderr)
    if not total:
        raise UsageError(f"{arguments.input} holds no picture{_left_out(pictures.left_out)}")
    state = State(job=job, total=total, left_out=dict(pictures.left_out))
    output.folder.begin(state)
    return state


def _send(
    arguments: argparse.Namespace,
    folder: TransformFolder,
    pictures: TransformInput,
    state: State,
    url: str,
) -> State:
    """Answer what is left; returns how far it came."""
    # These bring in ssl, which other commands need not wait for.
    from control.picture_client import PictureClient
    from control.transform import Task, transform

    told = get_json(url, "/execution-parameters").get("MaxConcurrentTransforms")
    concurrent = arguments.concurrency or (told if isinstance(told, int) and told > 0 else 1)
    num_threads = concurrent + (S3_READERS if isinstance(pictures, S3Input) else READERS)
    client = PictureClient(url, concurrent, arguments.content_type)
    files = ResultFiles(folder, state)
    try:
        with counting_signals() as signals:
            progress = Progress(sys.stderr, state.total, state.done)
            task = Task(pictures=pictures, client=client, format=state.job.format)
            transform(task, files, num_threads, progress, signals)
    except HostError as error:
        raise HostError(
            f"{error}; {files.state.done:,} of {state.total:,} pictures are done, the same command "
            "continues there"
        ) from error
    finally:
        files.close()
        client.close()
    return files.state


@contextlib.contextmanager
def _server(arguments: argparse.Namespace, bundle: Path | None) -> Iterator[str]:
    """The address of a server: one that is started for the bundle, or the one that runs."""
    if bundle is None:
        yield arguments.url
        return
    with running(plan_leashed(arguments, bundle)) as url:
        yield url


def _report(arguments: argparse.Namespace, output: TransformOutput, state: State) -> None:
    table, refusals = output.place(state.job.predictions_name), output.place(REFUSED_NAME)
    if arguments.json:
        say_json(
            {
                "pictures": state.total,
                "answered": state.total - state.refused,
                "refused": state.refused,
                "left_out": state.left_out,
                "seconds": state.seconds,
                "predictions": table,
                "refusals": refusals,
            }
        )
        return
    rate = state.total / state.seconds if state.seconds else 0.0
    say(
        f"{state.total:,} pictures in {duration(state.seconds)} ({rate:.1f} a second), "
        f"{state.refused:,} refused{_left_out(state.left_out)}\n{table}"
    )
    if state.refused:
        say(f"{refusals} says why")


def _left_out(others: Mapping[str, int]) -> str:
    """`; left out by name: 3 .csv, 1 .txt`, the most frequent first."""
    if not others:
        return ""
    ranked = sorted(others.items(), key=lambda item: -item[1])[:5]
    return f"; left out by name: {', '.join(f'{count:,} {suffix}' for suffix, count in ranked)}"


def _absolute(source: str) -> str:
    return source if source.startswith(SCHEME) else str(Path(source).resolve())


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a folder, s3://BUCKET/PREFIX, one picture, a .txt with a path a line, or a .manifest",
    )
    parser.add_argument(
        "-o", "--out", metavar="OUT", required=True, help="a folder or s3://BUCKET/PREFIX"
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
    parser.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="of the table; default csv"
    )
    parser.add_argument(
        "--content-type",
        default="application/x-image",
        metavar="TYPE",
        help="what each picture is sent as; default application/x-image",
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        default=0,
        metavar="N",
        help="requests under way; default 0 asks the server's /execution-parameters",
    )
    parser.add_argument(
        "--restart", action="store_true", help="throw away what OUT holds of earlier transforms"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the summary as one JSON document"
    )


TRANSFORM = Command(
    name="transform",
    help="answer all pictures of a folder or S3 prefix into one table",
    description=(
        "Send every picture to a server and write OUT/predictions.csv, one row a picture, and\n"
        "OUT/refused.csv. A transform that was stopped or killed continues with the same command."
    ),
    examples=(
        "kennel transform photos -o out --bundle runs/0001-digits",
        "kennel transform s3://my-bucket/photos -o s3://my-bucket/answers --bundle model.tar.gz",
        "kennel transform photos.txt -o listed --url http://127.0.0.1:8080 --format jsonl",
    ),
    add_arguments=_add_arguments,
    run=transform_pictures,
)

"""`kennel demo`: from nothing to predictions, on real handwritten digits, without a download."""

import argparse
from pathlib import Path
from typing import Any

from contract.job import JobResult
from control.bundle_source import opened_bundle
from control.child import ROOT
from control.client import ask, read_picture
from control.command_predict import ask_all
from control.digits import write_digits
from control.job_spec import Overrides, read_job_spec
from control.parser import Command, Parser, pair
from control.run_process import ProcessRunner
from control.run_text import result_text
from control.runs import RUNS
from control.server import running_server
from control.terminal import bar, complain, say, table

DATA_NAME = "demo-data"
JOB = ROOT / "jobs" / "digits.toml"
SPLITS = ("train", "validation", "test")
GOOD_ACCURACY = 0.95  # what this job reaches on any machine; less means that something is broken


def demo(arguments: argparse.Namespace) -> int:
    """Exit code 1 when training failed or learned less than it always does."""
    say("1/3  scikit-learn's 1,797 handwritten digits, as class folders of PNGs")
    data = write_digits(RUNS / DATA_NAME)
    for split in SPLITS:
        say(f"     {data / split}: {sum(1 for _ in (data / split).rglob('*.png'))} pictures")
    say(f"2/3  kennel run {_shown(JOB)}")
    spec = read_job_spec(
        JOB,
        Overrides(
            hyperparameters=dict(arguments.set),
            channels={split: data / split for split in SPLITS},
        ),
    )
    result = ProcessRunner(runs=RUNS).run(spec)
    if not result.ok:
        say(result_text(result))
        return 1
    say(f"3/3  kennel serve {result.folder}, and pictures that training never saw")
    _show_predictions(result, data / "test")
    say(result_text(result))
    accuracy = result.metrics.get("test:accuracy", 0.0)
    if accuracy < GOOD_ACCURACY:
        complain(f"test:accuracy is {accuracy:.4f}, expected at least {GOOD_ACCURACY}")
        return 1
    return 0


def _show_predictions(result: JobResult, test: Path) -> None:
    """Serve the bundle and ask it about the first test picture of each digit."""
    chosen = [sorted(folder.iterdir())[0] for folder in sorted(test.iterdir())]
    pictures = [(path, read_picture(path)) for path in chosen]
    with opened_bundle(result.folder) as bundle, running_server(bundle) as url:
        answers, refused = ask_all(pictures, lambda _, data: ask(url, data))
    rows = [_row(answer) for answer in answers]
    say(table(("     picture", "is", "predicted", "probability", ""), rows))
    for path, error in refused:
        complain(f"{path}: {error}")
    right = sum(row[1] == row[2] for row in rows)
    say(f"     {right} of {len(pictures)} right")


def _row(answer: dict[str, Any]) -> tuple[str, ...]:
    path = Path(answer["picture"])
    share = answer["probability"]
    name = f"     test/{path.parent.name}/{path.name}"
    return (name, path.parent.name, answer["label"], f"{share:.4f}", bar(share))


def _shown(path: Path) -> str:
    """A path relative to the current folder where that is shorter."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        type=pair,
        default=[],
        metavar="NAME=VALUE",
        help="a hyperparameter other than in jobs/digits.toml; may be repeated",
    )


DEMO = Command(
    name="demo",
    help="train, serve and ask: the whole way on handwritten digits",
    description=(
        "Write a real data set, train on it, serve the result and ask it about pictures that it\n"
        "never saw. Needs no AWS, no Docker and no download; takes about a minute."
    ),
    examples=("kennel demo",),
    add_arguments=_add_arguments,
    run=demo,
)

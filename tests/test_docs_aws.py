"""What the pages tell people to type works: shown, or run here, or run against moto."""

import json
import os
import shlex
import subprocess
import sys
from contextlib import chdir

import pytest
from documented import ROOT, commands
from documented_world import build, copied, settle
from endpoints import typed
from serving import server

from control.cli import COMMANDS, find_command
from control.parser import parse

PAGES = (
    *("README.md", "docs/local.md", "docs/sagemaker.md", "docs/endpoints.md", "docs/ec2.md"),
    *("docs/multi-model.md", "docs/transform.md", "docs/scaling.md", "docs/tuning.md"),
    *(
        "docs/lambda.md",
        "docs/cost-and-cleanup.md",
        "docs/data.md",
        "docs/debugger.md",
        "docs/course.md",
    ),
)
EXAMPLES = "what --help shows"
SERVER = "http://127.0.0.1:8080"
LOOKS = ("Get", "List", "Describe", "Head", "AssumeRole")
CODES = {
    "debug": {0, 1},
    "doctor": {0, 1},
    "submission": {0, 1},
}  # where the exit code is what they found


@pytest.fixture(scope="module")
def world(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("documented")
    with chdir(folder):
        build(folder, pictures)
    return folder


@pytest.fixture(scope="module")
def url(world):
    with server(world / "runs" / "0001-dogs" / "model") as running:
        yield running.url


def is_run(name, flags):
    """Whether a command is run as it stands: it is here, or only looks."""
    return (
        name in ("debug", "doctor", "report", "list", "submission", "transform")
        or (name == "data" and flags["action"] != "push")
        or (name == "predict" and not flags["endpoint"])
        or (name == "run" and bool(flags["attach"] or flags["stop"]))
        or (name == "scale" and flags["action"] == "simulate")
        or (name == "lambda" and bool(flags["here"]))
    )


def as_typed(words, url):
    """(the words to run, whether they only show): the server of the pages is at `url`."""
    name, flags = words[0], vars(parse(find_command(words[0]), words[1:]))
    words = [url if word == SERVER else word for word in words]
    if not is_run(name, flags):
        return words if flags["show"] else [*words, "--show"], True
    if name == "predict" and not flags["bundle"] and url not in words:
        words += ["--url", url]
    if name == "lambda" and url not in words:
        words.insert(words.index("--here") + 1, url)
    return words, bool(flags.get("show"))


def lines_of(page):
    """What a page tells people to type, after `kennel`."""
    if page == EXAMPLES:
        lines = [shlex.split(line) for command in COMMANDS for line in command.examples]
    else:
        lines = [words for path, words in commands() if path == ROOT / page]
    return [words[1:] for words in lines if words[0] == "kennel"]


@pytest.mark.parametrize("page", [*PAGES, EXAMPLES])
def test_the_commands_of_a_page_work_from_top_to_bottom(page, world, url, tmp_path, aws_here):
    lines = lines_of(page)
    assert lines
    with copied(world, tmp_path) as folder, chdir(folder):
        settle(aws_here, folder, {word for words in lines for word in words})
        for words in lines:
            if words[0] == "demo":  # it has a test of its own
                continue
            typed_words, is_shown = as_typed(words, url)
            aws_here.forget()
            done = typed(*typed_words)
            told = f"kennel {shlex.join(typed_words)}\n{done.stdout}\n{done.stderr}"
            assert done.returncode in CODES.get(words[0], {0}), told
            assert done.stdout.strip(), told
            if "-o json" in shlex.join(typed_words):
                json.loads(done.stdout)
            if is_shown:
                sent = [one.operation for one in aws_here.seen]
                assert [one for one in sent if not one.startswith(LOOKS)] == [], told


def test_the_demo_goes_the_whole_way(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "control", "demo", "--set", "quantize=none"],  # half of its time
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (tmp_path / "runs" / "0001-digits" / "model" / "bundle.json").is_file()

"""A full disk below a command: one line that says where and what to do, and no half files."""

import os
import re
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from tensor_runs import GRADIENTS, write_steps
from training import REPOSITORY, WAIT_SECONDS

from control.digits import write_digits

SIMULATE = [
    "scale",
    "simulate",
    "day",
    "--images-per-second",
    "20",
    "--max",
    "4",
    "--invocations-per-instance",
    "600",
]


def kennel(*words, folder, max_bytes=None, stdout=subprocess.PIPE, environment=os.environ):
    """The command as a process; writes beyond `max_bytes` fail as those on a full disk do."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return subprocess.run(
        [sys.executable, "-m", "control", *map(str, words)],
        cwd=folder,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
        preexec_fn=limit if max_bytes is not None else None,
        env={**environment, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_the_pictures_of_the_demo_need_room(tmp_path):
    done = kennel("demo", folder=tmp_path, max_bytes=100)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("kennel: cannot write runs/demo-data: File too large; ")
    assert files_in(tmp_path) == ["runs"]


@pytest.mark.parametrize(
    ("words", "max_bytes"),
    [
        (["data", "check", "pictures", "--page", "out.html"], 2_000),
        (["data", "pack", "pictures", "out"], 20_000),
        ([*SIMULATE, "--out", "out.html"], 20_000),
        (["submission", "--out", "out"], 20_000),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_one_line_and_nothing_lies_under_the_final_name(
    tmp_path, words, max_bytes, digits
):
    (tmp_path / "pictures").symlink_to(digits)
    done = kennel(*words, folder=tmp_path, max_bytes=max_bytes)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("kennel: cannot write ")
    assert "File too large" in line
    assert not (tmp_path / "out.html").exists()
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert all(path.name.startswith(".") for path in left)  # a pack remembers its plan


def test_shards_that_do_not_fit_are_not_sent(tmp_path, digits, aws):
    """They lie in the temporary folder before."""
    aws.client("s3").create_bucket(Bucket="room-123")
    aws.forget()
    words = ["data", "push", digits, "s3://room-123/digits", "--pack", "--yes"]
    done = kennel(*words, folder=tmp_path, max_bytes=20_000, environment=aws.environment)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert re.match(r"kennel: cannot write \S*/kennel-push-\S+\.tar: File too large; ", line)
    assert "PutObject" not in aws.seen


@pytest.mark.parametrize("words", [["list"], ["--help"], SIMULATE], ids=" ".join)
def test_words_that_cannot_be_written_are_one_line(tmp_path, words):
    with open("/dev/full", "w") as full:
        done = kennel(*words, folder=tmp_path, stdout=full)
    assert (done.returncode, done.stderr) == (
        1,
        "kennel: cannot write any more: No space left on device; make room on that disk, or write "
        "elsewhere\n",
    )


def test_rules_whose_results_cannot_be_written_are_no_answer(tmp_path):
    """The first of them could be; 1 is also the exit code of a rule that found something."""
    steps = [("TRAIN", step, {"gradient/fc": np.float32(0)}) for step in range(20)]
    job = write_steps(tmp_path / "job", steps, collections=GRADIENTS)
    words = ["--rule", "ExplodingTensor", "--rule", "VanishingGradient"]
    done = kennel("debug", "rules", job, *words, folder=tmp_path, max_bytes=3_000)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(r"kennel: cannot write \S+/VanishingGradient/report.json: File too", line)
    assert (job / "rule-output/ExplodingTensor/report.json").is_file()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Enough pictures for files of some size."""
    return write_digits(tmp_path_factory.mktemp("digits") / "pictures")

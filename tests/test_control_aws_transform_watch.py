"""A batch transform that is watched: Ctrl-C, its limit of time, and what is kept then."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from batch_player import ODD, Player, file_of, fill, models_of, rows
from serving import REPOSITORY, colour_bundle, server

WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def url():
    with server(colour_bundle()) as running:
        yield running.url


@pytest.fixture
def bucket(aws):
    return fill(aws)


def test_after_ctrl_c_the_job_goes_on_and_the_same_command_gets_its_answers(
    aws, bucket, url, tmp_path
):
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    aws.stages("DescribeTransformJob", {"TransformJobStatus": "InProgress"})
    words = ["deploy", str(file_of(tmp_path)), "--yes"]
    with started(aws, words[1], "-o", "json") as process:
        process.send_signal(signal.SIGINT)
        document, said = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130, said
    assert json.loads(document)["status"] == "InProgress"
    assert "goes on in AWS" in said
    assert f"`kennel {' '.join(words[:2])}` looks on again" in said
    assert "`kennel cleanup dogs` stops it" in said
    assert len(models_of(aws)) == 1  # the job still needs it
    aws.stages("DescribeTransformJob", {"TransformJobStatus": "Completed"})
    done = aws.kennel(*words)
    assert done.returncode == 0, done.stderr
    assert len(aws.calls("CreateTransformJob")) == 1
    assert len(rows(tmp_path / "answers" / "predictions.csv")) == len(ODD)
    assert models_of(aws) == []


def test_a_kill_before_the_job_was_made_leaves_no_model(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    aws.stages("DescribeTransformJob", {"TransformJobStatus": "InProgress"})
    path = file_of(tmp_path)
    with started(aws, path) as process:
        process.kill()
    aws.stages("DescribeTransformJob", {"TransformJobStatus": "Completed"})
    missing = "Could not find requested job with name: dogs"
    aws.fail("DescribeTransformJob", "ValidationException", missing)
    time.sleep(1)  # names of jobs hold the second
    done = aws.kennel("deploy", path, "--yes")
    assert done.returncode == 0, done.stderr
    assert len(aws.calls("CreateTransformJob")) == 2
    assert models_of(aws) == []


def test_a_job_over_its_time_is_stopped_and_its_answers_are_kept(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url, left=("a b.jpg",)))
    began = (datetime.now(UTC) - timedelta(minutes=5)).timestamp()
    running = {"TransformJobStatus": "InProgress", "TransformStartTime": began}
    aws.stages("DescribeTransformJob", running)

    def stop(_):
        aws.stages("DescribeTransformJob", {**running, "TransformJobStatus": "Stopped"})
        return {}

    aws.answer("StopTransformJob", stop)
    done = aws.kennel("deploy", file_of(tmp_path, "max_run_seconds = 60"), "--yes")
    assert done.returncode == 1
    assert "it has run for its max_run_seconds, 1 min 00 s" in done.stdout
    assert len(aws.calls("StopTransformJob")) == 1
    (refusal,) = rows(tmp_path / "answers" / "refused.csv")
    assert refusal["reason"] == "the job was stopped before its turn"
    assert len(rows(tmp_path / "answers" / "predictions.csv")) == len(ODD) - 1


@pytest.mark.parametrize(("typed", "code"), [("s\n", 1), ("d\n", 130), ("\n", 0)])
def test_on_a_terminal_ctrl_c_asks(aws, bucket, url, tmp_path, typed, code):
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    aws.stages("DescribeTransformJob", {"TransformJobStatus": "InProgress"})

    def stop(_):
        aws.stages("DescribeTransformJob", {"TransformJobStatus": "Stopped"})
        return {}

    aws.answer("StopTransformJob", stop)
    keyboard, theirs = pty.openpty()
    try:
        with started(aws, file_of(tmp_path), stdin=theirs) as process:
            process.send_signal(signal.SIGINT)
            while "[s/d/Enter]" not in process.stdout.readline(200):
                pass
            os.write(keyboard, typed.encode())
            if typed == "\n":
                aws.stages("DescribeTransformJob", {"TransformJobStatus": "Completed"})
            _, said = process.communicate(timeout=WAIT_SECONDS)
    finally:
        os.close(keyboard)
        os.close(theirs)
    assert process.returncode == code, said
    assert len(aws.calls("StopTransformJob")) == (typed == "s\n")
    has_table = (tmp_path / "answers" / "predictions.csv").is_file()
    assert has_table is (code != 130)  # what was answered before a stop is kept, too


@contextmanager
def started(aws, *words, stdin=subprocess.DEVNULL):
    """The command as a process of its own, when it looks at the job."""
    process = subprocess.Popen(
        [sys.executable, "-m", "control", "deploy", *map(str, words), "--yes"],
        env={**aws.environment, "KENNEL_POLL_SECONDS": "0.05"},
        cwd=REPOSITORY,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            wait_for(lambda: len(aws.calls("DescribeTransformJob")) > 3)
            yield process
        finally:
            process.kill()


def wait_for(condition):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

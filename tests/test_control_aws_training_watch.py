"""Looking on at a job in AWS: Ctrl-C, detaching, stopping, and a network that breaks."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest
from aws_front import Refusal
from training_jobs import (
    BUCKET,
    LINES,
    job_file,
    only_run,
    passing,
    run_json,
    stage,
    when_created,
    write_log,
)

from control.cli import main

RUN = ("--on", "aws", "--yes")
WAIT_SECONDS = 60
STOPPED = {"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped"}


@pytest.fixture
def here(tmp_path, monkeypatch, aws_here):
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    aws_here.forget()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextlib.contextmanager
def started(aws, here, *words, stdin=subprocess.DEVNULL):
    """`kennel run` as a process of its own, once the job trains."""
    process = subprocess.Popen(
        [sys.executable, "-m", "control", "run", *map(str, words)],
        env={**aws.environment, "KENNEL_POLL_SECONDS": "0.05", "PYTHONUNBUFFERED": "1"},
        cwd=here,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(aws.calls("DescribeTrainingJob")) > 4)
        yield process
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)


def wait_until(claim):
    deadline = time.monotonic() + WAIT_SECONDS
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c_leaves_the_job_alone_and_attach_goes_on(aws_here, here, capsys):
    when_created(aws_here)
    passing(aws_here, stage("Training"))
    with started(aws_here, here, job_file(here), *RUN) as process:
        process.send_signal(signal.SIGINT)
        shown, complaint = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130
    run = only_run(here)
    job = run_json(run)["aws"]["job"]
    assert complaint == (
        f"kennel: training job {job} goes on in AWS: `kennel run --attach runs/0001-dogs` looks "
        "on again; `kennel run --stop runs/0001-dogs` stops it\n"
    )
    assert LINES[0] in shown
    assert run_json(run)["status"] == "InProgress"
    assert aws_here.calls("StopTrainingJob") == []
    assert main(["list"]) == 0
    assert "InProgress" in capsys.readouterr().out

    write_log(aws_here, job, ["validation:accuracy=0.900000;"], at=9000)
    passing(aws_here)
    assert main(["run", "--attach", str(run)]) == 0
    assert run_json(run)["status"] == "Completed"
    assert run_json(run)["metrics"] == {"validation:accuracy": 0.9}
    assert (run / "model" / "bundle.json").is_file()
    assert (run / "train.log").read_text().splitlines() == [*LINES, "validation:accuracy=0.900000;"]
    again = capsys.readouterr().out
    assert LINES[0] not in again  # it was shown before


def test_attaching_to_what_has_ended_is_the_same_result_again(aws_here, here, capsys):
    when_created(aws_here)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    before = run_json(only_run(here))
    assert main(["run", "--attach", "dogs"]) == 0
    after = run_json(only_run(here))
    assert {**after, "pid": 0} == {**before, "pid": 0}
    aws_here.fail("DescribeTrainingJob", "AccessDeniedException", "not authorized")
    assert main(["run", "--attach", "dogs"]) == 1
    assert run_json(only_run(here)) == after
    assert (only_run(here) / "train.log").read_text().splitlines() == list(LINES)


def test_a_killed_kennel_loses_nothing(aws_here, here):
    when_created(aws_here)
    passing(aws_here, stage("Training"))
    with started(aws_here, here, job_file(here), *RUN) as process:
        process.kill()
        process.communicate(timeout=WAIT_SECONDS)
    passing(aws_here)
    assert main(["run", "--attach", "1"]) == 0
    assert run_json(only_run(here))["metrics"] == {"validation:accuracy": 0.75}


def test_json_of_a_detached_job_says_that_it_goes_on(aws_here, here):
    when_created(aws_here)
    passing(aws_here, stage("Training"))
    with started(aws_here, here, job_file(here), *RUN, "-o", "json") as process:
        process.send_signal(signal.SIGINT)
        document, _ = process.communicate(timeout=WAIT_SECONDS)
    assert json.loads(document)["status"] == "InProgress"


@pytest.mark.parametrize(
    ("typed", "code"), [("s\n", 1), ("s\n^C", 130), ("d\n", 130), ("\n", 0), ("^C", 130)]
)
def test_on_a_terminal_ctrl_c_asks(typed, code, aws_here, here):
    when_created(aws_here)
    passing(aws_here, stage("Training"))
    stop = stage("Completed", **STOPPED)

    def stopping(_asked):
        if not typed.endswith("^C"):
            aws_here.stages("DescribeTrainingJob", stop)
        return {}

    aws_here.answer("StopTrainingJob", stopping)
    keyboard, theirs = pty.openpty()
    try:
        with started(aws_here, here, job_file(here), *RUN, stdin=theirs) as process:
            process.send_signal(signal.SIGINT)
            said = _read_until(process.stdout, "[s/d/Enter]")
            os.write(keyboard, typed.removesuffix("^C").encode())
            if typed == "s\n^C":
                _read_until(process.stdout, "stop:    asked for")
            if typed.endswith("^C"):
                process.send_signal(signal.SIGINT)
            if typed == "\n":
                passing(aws_here)
            shown, complaint = process.communicate(timeout=WAIT_SECONDS)
    finally:
        os.close(keyboard)
        os.close(theirs)
    assert process.returncode == code, (said, shown, complaint)
    assert len(aws_here.calls("StopTrainingJob")) == typed.startswith("s")
    state = "is being stopped" if typed.startswith("s") else "goes on in AWS"
    assert (state in complaint) is (code == 130)
    if typed == "s\n":
        found = run_json(only_run(here))
        assert found["status"] == "Stopped"
        assert (only_run(here) / "model" / "bundle.json").is_file()  # what there is


def _read_until(stream, words):
    """What a process says until it has said these words."""
    said = ""
    while words not in said:
        assert select.select([stream], [], [], WAIT_SECONDS)[0]
        said += os.read(stream.fileno(), 4096).decode()
    return said


def test_a_run_is_stopped_from_elsewhere(aws_here, here, capsys):
    when_created(aws_here)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    aws_here.answer("StopTrainingJob", {})
    assert main(["run", "--stop", "1"]) == 0
    (asked,) = aws_here.calls("StopTrainingJob")
    assert asked == {"TrainingJobName": run_json(only_run(here))["aws"]["job"]}

    def has_ended(_asked):
        raise Refusal("ValidationException", "The job is in status Completed.")

    aws_here.answer("StopTrainingJob", has_ended)
    assert "`kennel run --attach runs/0001-dogs` waits for its end" in capsys.readouterr().out
    assert main(["run", "--stop", "1"]) == 0  # typed again: no error
    told = capsys.readouterr().out
    assert told == (
        "stop:    it has ended already; `kennel run --attach runs/0001-dogs` fetches what it left\n"
    )


@pytest.mark.parametrize(
    ("failure", "times"),
    [
        (("ThrottlingException", "Rate exceeded", 400), 2),  # boto3 asks again
        (("ServiceUnavailable", "Busy", 503), 2),
        (("InternalFailure", "Something broke", 400), 5),  # we do, at the next look
    ],
)
def test_a_break_in_the_middle_is_forgiven(failure, times, aws_here, here):
    code, message, status = failure
    when_created(aws_here)
    passing(aws_here)
    aws_here.fail("DescribeTrainingJob", code, message, status=status, times=times)
    aws_here.fail("GetLogEvents", code, message, status=status, times=times)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    assert (only_run(here) / "train.log").read_text().splitlines() == list(LINES)


def test_a_refused_look_says_that_the_job_goes_on(aws_here, here, capsys):
    when_created(aws_here)
    passing(aws_here)
    aws_here.fail("DescribeTrainingJob", "AccessDeniedException", "User: me is not authorized")
    assert main(["run", str(job_file(here)), *RUN]) == 1
    complaint = capsys.readouterr().err
    assert "it goes on in AWS: `kennel run --attach runs/0001-dogs`" in complaint
    assert run_json(only_run(here))["status"] == "InProgress"
    assert main(["run", "--attach", "1"]) == 0


def test_a_log_that_may_not_be_read_is_no_end(aws_here, here, capsys):
    when_created(aws_here)
    passing(aws_here)
    aws_here.fail("DescribeLogStreams", "AccessDeniedException", "not authorized", times=99)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    assert capsys.readouterr().err.count("note: the job's lines are not shown") == 1


def test_what_did_not_run_in_aws_cannot_be_attached_to(here, aws_here, monkeypatch, capsys):
    when_created(aws_here)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert main(["run", "--attach", "1"]) == 2
    assert "set AWS_REGION=us-east-1" in capsys.readouterr().err
    assert main(["run", "--stop", "1"]) == 2
    assert "set AWS_REGION=us-east-1" in capsys.readouterr().err
    found = run_json(only_run(here))
    (only_run(here) / "run.json").write_text(json.dumps({**found, "aws": {}}))
    assert main(["run", "--attach", "1"]) == 2
    assert "ran on this machine, not in AWS" in capsys.readouterr().err
    assert main(["run", "--stop", "no such"]) == 2
    capsys.readouterr()
    assert main(["run", "--attach", "dogs-10"]) == 2
    told = capsys.readouterr().err
    assert "no run is called 'dogs-10' in runs/, and no training job in eu-west-1" in told
    assert "`kennel list`" in told


def test_a_lost_answer_to_the_creation_makes_no_second_job(aws_here, here):
    """The job is there, and boto3's next try is refused as one that exists already."""

    def act(asked):
        when_created(aws_here)  # from now on nothing is lost
        write_log(aws_here, asked["TrainingJobName"], LINES)
        aws_here.fail("CreateTrainingJob", "ResourceInUse", "Training job names must be unique")
        raise ConnectionAbortedError("the answer never arrives")

    aws_here.after("CreateTrainingJob", act)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    assert len(aws_here.calls("CreateTrainingJob")) == 2
    assert (only_run(here) / "train.log").read_text().splitlines() == list(LINES)


def test_a_name_that_somebody_else_has_is_refused(aws_here, here, capsys):
    aws_here.fail("CreateTrainingJob", "ResourceInUse", "Training job names must be unique")
    assert main(["run", str(job_file(here)), *RUN]) == 1
    assert "it exists already" in capsys.readouterr().err
    assert run_json(only_run(here))["status"] == "Failed"


def test_a_job_file_beside_attach_is_refused(here, capsys):
    assert main(["run", str(job_file(here)), "--attach", "1"]) == 2
    assert "want a run" in capsys.readouterr().err

"""Looking on at a tuning job: Ctrl-C, stopping, what AWS refuses, a network that breaks."""

import contextlib
import signal
import subprocess
import sys
import time

import pytest
from training_jobs import (
    BUCKET,
    only_run,
    run_json,
)
from tuning_jobs import TuningJob, tuning_file

from contract.study import read_study
from control.cli import main
from control.study_runs import study_path

RUN = ("--on", "aws", "--yes")
WAIT_SECONDS = 60
ENDED = ("Completed", "Completed", "Failed")
LOOKS = (
    ("InProgress",),
    ("Completed", "InProgress"),
    ("Completed", "Completed", "InProgress"),
    ENDED,
)


@pytest.fixture
def here(tmp_path, monkeypatch, aws_here):
    """The current folder of somebody with an account; runs/ appears in it."""
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    monkeypatch.chdir(tmp_path)
    aws_here.forget()
    return tmp_path


@contextlib.contextmanager
def started(aws, here, *words):
    """`kennel tune` as a process of its own, once it has looked a few times."""
    process = subprocess.Popen(
        [sys.executable, "-m", "control", "tune", *map(str, words)],
        env={**aws.environment, "KENNEL_POLL_SECONDS": "0.05"},
        cwd=here,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while len(aws.calls("DescribeHyperParameterTuningJob")) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=WAIT_SECONDS)


def study_in(run):
    return read_study(study_path(run))


def test_ctrl_c_leaves_it_alone_and_the_same_command_looks_on_again(aws_here, here, capsys):
    TuningJob(aws_here, *[("Completed", "InProgress")] * 1000)
    path = tuning_file(here)
    with started(aws_here, here, path, *RUN) as process:
        process.send_signal(signal.SIGINT)
        shown, complaint = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130
    run = only_run(here)
    job = run_json(run)["aws"]["job"]
    assert (
        f"tuning job {job} goes on in AWS: `kennel tune {path} --on aws` looks on again"
        in complaint
    )
    assert run_json(run)["status"] == "InProgress"
    assert "trial 1/3" in shown

    TuningJob(aws_here, *LOOKS[1:])
    aws_here.forget()
    capsys.readouterr()
    assert main(["tune", str(path), *RUN]) == 0
    again = capsys.readouterr().out
    assert again.startswith(f"looking on again at tuning job {job}, runs/0001-dogs\n")
    assert "trial 1/3" not in again  # it was told before
    assert "trial 2/3" in again
    assert aws_here.calls("CreateHyperParameterTuningJob") == []
    asked = [call["TrainingJobName"] for call in aws_here.calls("DescribeTrainingJob")]
    assert [name.split("-")[-2] for name in asked] == ["002", "003"]  # of the first all is known
    assert run_json(run)["aws"]["billable"].keys() == {
        trial.worker for trial in study_in(run).trials
    }


def test_stop_is_asked_for_and_the_study_keeps_its_trials(aws_here, here, capsys):
    job = TuningJob(aws_here, *[("Completed", "InProgress")] * 1000)
    path = tuning_file(here)
    with started(aws_here, here, path, *RUN) as process:
        process.kill()
    assert main(["tune", str(path), "--on", "aws", "--stop"]) == 0
    assert job.stopped == 1
    assert main(["tune", str(path), *RUN]) == 1
    shown = capsys.readouterr().out
    assert "study dogs: Stopped, 1 of 3 trials" in shown
    assert "it was stopped in AWS" in shown
    assert main(["tune", str(path), "--on", "aws", "--stop"]) == 2
    assert "no job of this study is under way" in capsys.readouterr().err


def test_a_stopped_study_begins_anew_in_another_run(aws_here, here):
    TuningJob(aws_here, ("Completed",), end="Stopped")
    words = ["tune", str(tuning_file(here)), *RUN]
    assert main(words) == 1
    TuningJob(aws_here, ENDED)
    assert main(words) == 0
    assert len(list((here / "runs").iterdir())) == 2


def test_a_refused_creation_is_one_line_and_the_next_command_makes_another(aws_here, here, capsys):
    TuningJob(aws_here, ENDED)
    message = (
        "The account-level service limit 'ml.m5.xlarge for training job usage' is 1 Instances, "
        "with current utilization of 0 Instances and a request delta of 2 Instances."
    )
    aws_here.fail("CreateHyperParameterTuningJob", "ResourceLimitExceeded", message)
    words = ["tune", str(tuning_file(here)), *RUN]
    assert main(words) == 1
    (complaint,) = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert "the quota 'ml.m5.xlarge for training job usage' is 1" in complaint
    assert run_json(only_run(here))["status"] == "Failed"
    assert main(words) == 0


def test_a_job_that_was_never_created_is_found_out(aws_here, here, capsys):
    TuningJob(aws_here, *[("InProgress",)] * 1000)
    path = tuning_file(here)
    with started(aws_here, here, path, *RUN) as process:
        process.kill()
    aws_here.client("sagemaker").delete_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=run_json(only_run(here))["aws"]["job"]
    )
    assert main(["tune", str(path), *RUN]) == 2
    assert "the same command again makes another one" in capsys.readouterr().err
    assert run_json(only_run(here))["status"] == "Failed"


def test_a_broken_connection_in_between_is_forgiven(aws_here, here):
    TuningJob(aws_here, *LOOKS)
    # Refused with 400, boto3 does not try again itself; throttled, it does.
    aws_here.fail("ListTrainingJobsForHyperParameterTuningJob", "InternalFailure", times=3)
    aws_here.fail("DescribeTrainingJob", "InternalFailure", times=2)
    aws_here.fail("DescribeHyperParameterTuningJob", "ThrottlingException", "Rate exceeded")
    assert main(["tune", str(tuning_file(here)), *RUN]) == 0
    assert [trial.objective for trial in study_in(only_run(here)).trials] == [1.25, 0.75, None]


def test_a_lost_answer_to_the_creation_makes_no_second_job(aws_here, here):
    """The tuning job is there, and boto3's next try is refused as one that exists already."""

    def act(_asked):
        aws_here.script.after.clear()
        aws_here.fail("CreateHyperParameterTuningJob", "ResourceInUse", "names must be unique")
        raise ConnectionAbortedError("the answer never arrives")

    aws_here.after("CreateHyperParameterTuningJob", act)
    TuningJob(aws_here, ENDED)
    assert main(["tune", str(tuning_file(here)), *RUN]) == 0
    assert len(aws_here.calls("CreateHyperParameterTuningJob")) == 2


def test_a_name_that_somebody_else_has_is_refused(aws_here, here, capsys):
    TuningJob(aws_here, ENDED)
    aws_here.fail("CreateHyperParameterTuningJob", "ResourceInUse", "names must be unique")
    assert main(["tune", str(tuning_file(here)), *RUN]) == 1
    assert "it exists already" in capsys.readouterr().err


def test_where_nobody_answers_the_same_command_finds_out(aws_here, here, capsys):
    TuningJob(aws_here, ENDED)
    aws_here.fail("CreateHyperParameterTuningJob", "InternalFailure", "an error of ours")
    words = ["tune", str(tuning_file(here)), *RUN]
    assert main(words) == 1
    assert "it may have been made all the same" in capsys.readouterr().err
    assert main(words) == 2  # it was not
    assert "the same command again makes another one" in capsys.readouterr().err
    assert main(words) == 0

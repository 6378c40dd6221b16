"""--attach, --stop and --show: what a job that goes on is asked, and that nothing is sent."""

import json

import pytest
from training_jobs import BUCKET, failed, job_file, only_run, passing, run_json, stage, when_created
from tuning_jobs import TuningJob, tuning_file

from control.cli import main
from control.runs import read_run, write_run

SENT = frozenset({"StopTrainingJob", "StopHyperParameterTuningJob", "TerminateInstances"})


@pytest.fixture
def here(tmp_path, monkeypatch, aws_here):
    """The current folder of somebody with an account."""
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    aws_here.client("iam").create_instance_profile(InstanceProfileName="kennel-ec2")
    monkeypatch.chdir(tmp_path)
    aws_here.forget()
    return tmp_path


@pytest.fixture
def training(aws_here, here, capsys):
    """A run whose training job goes on, by what its run.json says; the job's name."""
    when_created(aws_here)
    passing(aws_here, failed("for the test"))
    assert main(["run", str(job_file(here)), "--on", "aws", "--yes"]) == 1
    return goes_on(aws_here, here, capsys)


def goes_on(aws, here, capsys):
    """Its only run, as it was before the end was heard of; the job's name."""
    run = read_run(only_run(here))
    write_run(type(run)(name=run.name, folder=run.folder, aws=run.aws))
    aws.forget()
    capsys.readouterr()
    return run.aws["job"]


def shown(capsys):
    """Operation and parameters of each request."""
    return [(one["operation"], one["parameters"]) for one in json.loads(capsys.readouterr().out)]


def test_a_stop_that_is_shown_stops_nothing(aws_here, here, training, capsys):
    assert main(["run", "--stop", "dogs", "--show"]) == 0
    assert shown(capsys) == [("StopTrainingJob", {"TrainingJobName": training})]
    assert aws_here.seen == []
    aws_here.answer("StopTrainingJob", {})
    assert main(["run", "--stop", "dogs"]) == 0
    assert aws_here.calls("StopTrainingJob") == [{"TrainingJobName": training}]


@pytest.mark.parametrize("which", ["dogs", "theirs-1"])
def test_looking_on_that_is_shown_asks_nobody(aws_here, here, training, capsys, which):
    """Also at a job that no run here knows: no folder is made for it."""
    job = training if which == "dogs" else which
    assert main(["run", "--attach", which, "--show"]) == 0
    described, streams = shown(capsys)
    assert described == ("DescribeTrainingJob", {"TrainingJobName": job})
    assert streams[1]["logStreamNamePrefix"] == f"{job}/"
    assert aws_here.seen == []
    assert len(list((here / "runs").iterdir())) == 1
    aws_here.stages("DescribeTrainingJob", stage("Completed"))
    if which == "dogs":
        assert main(["run", "--attach", which]) == 0
        assert described[1] in aws_here.calls("DescribeTrainingJob")
        assert streams[1].items() <= aws_here.calls("DescribeLogStreams")[0].items()


def test_the_stop_of_an_instance_is_shown_with_what_decides(aws_here, here, capsys):
    aws_here.fail("RunInstances", "Unsupported", "no such type here")
    assert main(["run", str(job_file(here)), "--on", "ec2", "--yes"]) == 1
    job = goes_on(aws_here, here, capsys)
    assert main(["run", "--stop", "dogs", "--show"]) == 0
    said = capsys.readouterr()
    operations = [one["operation"] for one in json.loads(said.out)]
    assert operations == ["DescribeInstances", "GetObject", "PutObject"]
    assert json.loads(said.out)[-1]["parameters"]["Key"] == f"out/{job}/stop"
    assert "before, TerminateInstances" in said.err
    assert main(["run", "--attach", "dogs", "--show"]) == 0
    assert [name for name, _ in shown(capsys)] == ["DescribeInstances", "GetObject"]
    assert aws_here.seen == []


@pytest.mark.parametrize("more", [(), ("--in-one-job",)])
def test_the_stop_of_a_study_is_shown_and_not_sent(aws_here, here, capsys, more):
    if more:
        passing(aws_here, failed("for the test"))
    else:
        TuningJob(aws_here, ("Failed", "Failed", "Failed"), end="Failed")
    words = ["tune", str(tuning_file(here)), "--on", "aws", *more]
    assert main([*words, "--yes"]) == 1
    run = only_run(here)
    found = run_json(run)
    (run / "run.json").write_text(json.dumps({**found, "status": "InProgress"}))
    aws_here.forget()
    capsys.readouterr()
    assert main([*words, "--stop", "--show"]) == 0
    kind = "Training" if more else "HyperParameterTuning"
    expected = {f"{kind}JobName": found["aws"]["job"]}
    assert shown(capsys) == [(f"Stop{kind}Job", expected)]
    assert not SENT & {one.operation for one in aws_here.seen}


def test_looking_on_and_stopping_are_two_commands(here, capsys):
    assert main(["run", "--attach", "dogs", "--stop", "dogs"]) == 2
    assert "give one of them" in capsys.readouterr().err

"""`kennel run --on ec2` from its first line to its outputs, against moto over HTTP."""

import base64
import contextlib
import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from serving import picture
from training_jobs import BUCKET, job_file, only_run, put, put_outputs, run_json, same_name

from control.cli import main

RUN = ("--on", "ec2", "--yes")
WAIT_SECONDS = 60
LOG = b"epoch 1 of 1\nvalidation:accuracy=0.750000;\nlast words"


@pytest.fixture
def here(tmp_path, monkeypatch, aws_here):
    """The current folder of somebody with an account, which has the instance profile."""
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    aws_here.client("iam").create_instance_profile(InstanceProfileName="kennel-ec2")
    monkeypatch.chdir(tmp_path)
    aws_here.forget()
    return tmp_path


def said(at, status="InProgress", seconds=0, **more):
    """What an instance writes of itself."""
    return {"status": status, "at": at, "seconds": seconds, "exit_code": None, **more}


ENDED = said("Ended", "Completed", 400, training_seconds=300, exit_code=0, failure_reason="")
LIFE = (None, said("Starting", seconds=5), said("Training", seconds=95), ENDED)


def living(aws, here, *stages, outputs=True, dies=False):
    """An instance that says these one after another, one at a look; its log grows meanwhile.

    `dies`: after the last of them it is gone.
    """
    left = list(enumerate(stages, start=1))

    def step(_asked):
        if not left:
            return
        job = run_json(only_run(here))["aws"]["job"]
        number, stage = left.pop(0)
        put(aws, f"out/{job}/train.log", LOG[: len(LOG) * number // len(stages)])
        if stage is not None:
            put(aws, f"out/{job}/status.json", json.dumps(stage).encode())
        if not left and outputs:
            put_outputs(aws, job)
        if not left and dies:
            aws.client("ec2").terminate_instances(InstanceIds=[instance_of(aws)["InstanceId"]])

    aws.after("DescribeInstances", step)


def instance_of(aws):
    """The only one; asking for it is no look."""
    step = aws.script.after.pop("DescribeInstances", None)
    try:
        (group,) = aws.client("ec2").describe_instances()["Reservations"]
    finally:
        if step:
            aws.script.after["DescribeInstances"] = step
    return group["Instances"][0]


@contextlib.contextmanager
def started(aws, here, *words):
    """`kennel run` as a process of its own, once it has looked a few times."""
    process = subprocess.Popen(
        [sys.executable, "-m", "control", "run", *map(str, words)],
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
        while len(aws.calls("DescribeInstances")) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=WAIT_SECONDS)


def test_a_job_is_started_followed_and_fetched(aws_here, here, capsys):
    living(aws_here, here, *LIFE)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "cost:    1 x m5.xlarge, instance for dogs: $0.192 an hour, at most 1 h 32"
    )
    states = [line.partition(",")[0] for line in shown.splitlines() if line.startswith("ec2:     ")]
    assert states[1:] == [
        "ec2:     Waiting",
        "ec2:     Starting after 5.0 s",
        "ec2:     Training after 1 min 35 s",
        "ec2:     Ended after 6 min 40 s",
    ]
    run = only_run(here)
    assert (run / "train.log").read_bytes() == LOG + b"\n"
    assert (run / "output" / "data" / "report.html").is_file()
    found = run_json(run)
    assert (found["status"], found["seconds"]) == ("Completed", 400)
    assert found["metrics"] == {"validation:accuracy": 0.75}
    assert found["aws"]["instance"] == instance_of(aws_here)["InstanceId"]
    assert "billed:  400 s of 300 s x 1 m5.xlarge, about $0.0213" in shown


def test_the_fetched_model_answers_as_a_local_one(aws_here, here, capsys):
    living(aws_here, here, *LIFE)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    (here / "red.png").write_bytes(picture("red"))
    capsys.readouterr()
    assert main(["predict", "red.png", "--bundle", str(only_run(here))]) == 0
    assert "red" in capsys.readouterr().out.splitlines()[0]


def test_what_is_shown_is_what_runs(aws_here, here, capsys):
    words = ["run", str(job_file(here)), "--on", "ec2"]
    assert main([*words, "--show", "-o", "json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert aws_here.seen == []
    living(aws_here, here, *LIFE)
    assert main([*words, "--yes"]) == 0
    instance = instance_of(aws_here)
    data = aws_here.client("ec2").describe_instance_attribute(
        InstanceId=instance["InstanceId"], Attribute="userData"
    )["UserData"]["Value"]
    ran = base64.b64decode(data).decode()
    assert same_name(ran) == same_name(shown["parameters"]["UserData"])
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert (tags["kennel:name"], tags["kennel:kind"]) == ("dogs", "ec2")


def test_a_failed_job_says_its_reason_and_the_last_lines(aws_here, here, capsys):
    reason = "no pictures in channel train"
    ended = said("Ended", "Failed", 60, exit_code=2, failure_reason=reason)
    living(aws_here, here, said("Training"), ended, outputs=False)
    assert main(["run", str(job_file(here)), *RUN]) == 1
    shown = capsys.readouterr().out
    assert f"reason:  {reason}\n" in shown
    assert "log:     last words\n" in shown
    assert run_json(only_run(here))["status"] == "Failed"


def test_an_instance_that_vanishes_is_a_failed_job(aws_here, here, capsys):
    living(aws_here, here, said("Downloading", seconds=20), outputs=False, dies=True)
    assert main(["run", str(job_file(here)), *RUN]) == 1
    assert "the instance ended without a last word, after downloading" in capsys.readouterr().out


def test_a_job_that_has_ended_is_done_however_its_instance_went(aws_here, here):
    living(aws_here, here, *LIFE, dies=True)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    assert run_json(only_run(here))["status"] == "Completed"


def test_nothing_is_started_when_nobody_agrees(aws_here, here, capsys):
    assert main(["run", str(job_file(here)), "--on", "ec2"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert aws_here.calls("RunInstances") == []
    assert not (here / "runs").exists()


def test_a_refusal_is_one_line_and_a_failed_run(aws_here, here, capsys):
    message = "We currently do not have sufficient g4dn.xlarge capacity"
    aws_here.fail("RunInstances", "InsufficientInstanceCapacity", message)
    assert main(["run", str(job_file(here)), *RUN]) == 1
    complaint = capsys.readouterr().err
    assert "AWS has none of these machines free now" in complaint
    assert complaint.count("\n") == 1
    assert run_json(only_run(here))["status"] == "Failed"


def test_a_missing_instance_profile_says_who_makes_it(aws_here, here, capsys):
    assert main(["run", str(job_file(here, more='[ec2]\nrole = "nobody"\n')), *RUN]) == 1
    assert "`kennel iam create JOB.toml --only ec2`" in capsys.readouterr().err


def test_a_broken_connection_in_between_is_forgiven(aws_here, here):
    living(aws_here, here, *LIFE)
    aws_here.fail("DescribeInstances", "InternalError", times=3)
    aws_here.fail("GetObject", "InternalError", times=2)
    aws_here.fail(
        "DescribeInstances", "RequestLimitExceeded", "Request limit exceeded.", status=503
    )
    assert main(["run", str(job_file(here)), *RUN]) == 0


def test_ctrl_c_leaves_the_instance_alone_and_attach_goes_on(aws_here, here, capsys):
    living(aws_here, here, said("Starting"), said("Training"), outputs=False)
    with started(aws_here, here, job_file(here), *RUN) as process:
        process.send_signal(signal.SIGINT)
        shown, complaint = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130
    run = only_run(here)
    assert "goes on, and ends itself: `kennel run --attach runs/0001-dogs` looks on" in complaint
    assert "epoch 1 of 1\n" in shown
    assert run_json(run)["status"] == "InProgress"
    assert instance_of(aws_here)["State"]["Name"] == "running"

    living(aws_here, here, ENDED)
    assert main(["run", "--attach", "1"]) == 0
    assert run_json(run)["metrics"] == {"validation:accuracy": 0.75}
    assert (run / "train.log").read_bytes() == LOG + b"\n"  # every line once
    assert (run / "model" / "bundle.json").is_file()
    assert "epoch 1 of 1" not in capsys.readouterr().out  # it was shown before


def test_stop_leaves_a_mark_where_a_training_instance_looks(aws_here, here, capsys):
    living(aws_here, here, said("Training"), outputs=False)
    with started(aws_here, here, job_file(here), *RUN) as process:
        process.kill()
    assert main(["run", "--stop", "dogs"]) == 0
    job = run_json(only_run(here))["aws"]["job"]
    aws_here.client("s3").head_object(Bucket=BUCKET, Key=f"out/{job}/stop")
    assert instance_of(aws_here)["State"]["Name"] == "running"
    reason = "stopped by a person after 9 s; what was saved is kept"
    living(aws_here, here, said("Ended", "Stopped", 10, exit_code=0, failure_reason=reason))
    assert main(["run", "--attach", "dogs"]) == 1
    assert f"reason:  {reason}" in capsys.readouterr().out
    assert (only_run(here) / "model" / "bundle.json").is_file()


def test_stop_ends_an_instance_that_has_not_begun(aws_here, here, capsys):
    living(aws_here, here, said("Downloading"), outputs=False)
    with started(aws_here, here, job_file(here), *RUN) as process:
        process.kill()
    assert main(["run", "--stop", "dogs"]) == 0
    assert instance_of(aws_here)["State"]["Name"] == "terminated"
    assert main(["run", "--attach", "dogs"]) == 1
    assert "stopped while it was downloading; nothing was saved" in capsys.readouterr().out
    assert run_json(only_run(here))["status"] == "Stopped"


def test_json_is_one_document_and_people_read_stderr(aws_here, here, capsys):
    living(aws_here, here, *LIFE)
    assert main(["run", str(job_file(here)), *RUN, "-o", "json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["status"] == "Completed"
    assert "ec2:     Training" in captured.err


def test_the_debugger_stays_in_sagemaker(aws_here, here, capsys):
    living(aws_here, here, *LIFE)
    assert main(["run", str(job_file(here, more="[rules.Overfit]\n")), *RUN]) == 0
    assert "on an instance the job goes without" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", ["--attach dogs", "--stop 1", "--attach 1 --show", "--stop dogs --show"]
)
def test_a_job_that_was_never_started_is_not_waited_for(aws_here, here, capsys, words):
    aws_here.fail("RunInstances", "Unsupported", "no such type here")
    assert main(["run", str(job_file(here)), *RUN]) == 1
    capsys.readouterr()
    assert main(["run", *words.split()]) == 2
    said = capsys.readouterr().err
    assert "runs/0001-dogs was never started: " in said
    assert "no such type here" in said
    assert aws_here.calls("DescribeInstances") == []


def test_an_instance_that_never_appeared_is_not_waited_for_again(aws_here, here, capsys):
    """As when `kennel run` was killed between run.json and RunInstances, an hour ago."""
    aws_here.fail("RunInstances", "Unsupported", "no such type here")
    assert main(["run", str(job_file(here)), *RUN]) == 1
    path = only_run(here) / "run.json"
    began = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    told = {**run_json(only_run(here)), "status": "InProgress", "started_at": began}
    path.write_text(json.dumps(told))
    assert main(["run", "--attach", "dogs"]) == 1
    assert "without a last word, after waiting" in capsys.readouterr().out


def test_outputs_can_be_fetched_again_after_a_refusal(aws_here, here, capsys):
    living(aws_here, here, *LIFE)
    aws_here.fail("ListObjectsV2", "AccessDenied", "Access Denied", status=403)
    assert main(["run", str(job_file(here)), *RUN]) == 1
    assert "`kennel run --attach runs/0001-dogs` fetches what it left" in capsys.readouterr().err
    assert main(["run", "--attach", "1"]) == 0
    assert (only_run(here) / "model" / "bundle.json").is_file()

"""Ctrl-C while kennel deploy works: what goes on in AWS, and how the same command goes on."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time

import pytest
from endpoints import Updates, fixed_bundle, put_bucket, typed, write_deployment
from serving import REPOSITORY

WAIT_SECONDS = 60


def stopped(aws, path, when):
    """Type the command, and Ctrl-C as soon as `when` says so: (exit code, what stderr has)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "control", "deploy", str(path), "--yes"],
        env={**aws.environment, "KENNEL_POLL_SECONDS": "0.05"},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + WAIT_SECONDS
    while not when() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_SECONDS)
    return process.returncode, said


def test_a_creation_goes_on_and_the_same_command_waits_for_it(aws_here, tmp_path):
    put_bucket(aws_here)
    aws_here.stages("DescribeEndpoint", {"EndpointStatus": "Creating"})
    path = write_deployment(tmp_path)

    def is_waiting():
        return aws_here.calls("CreateEndpoint") and aws_here.calls("DescribeEndpoint")[1:]

    code, said = stopped(aws_here, path, is_waiting)
    assert code == 130
    assert f"`kennel deploy {path}` looks again" in said
    assert "`kennel cleanup dogs` removes it" in said
    assert aws_here.calls("DeleteEndpoint") == []
    aws_here.stages(
        "DescribeEndpoint", {"EndpointStatus": "Creating"}, {"EndpointStatus": "Creating"}, {}
    )
    again = typed("deploy", path)
    assert again.returncode == 0, again.stderr
    assert "being made already" in again.stdout
    assert len(aws_here.calls("CreateEndpoint")) == 1


def test_what_an_earlier_command_began_is_not_said_to_be_removed_when_it_fails(aws_here, tmp_path):
    put_bucket(aws_here)
    path = write_deployment(tmp_path)
    assert typed("deploy", path, "--yes").returncode == 0
    failed = {"EndpointStatus": "Failed", "FailureReason": "no machine"}
    aws_here.stages("DescribeEndpoint", {"EndpointStatus": "Creating"}, failed)
    done = typed("deploy", path, "--yes")
    assert done.returncode == 1
    assert f"it is still there: `kennel deploy {path}` makes it anew" in done.stderr
    assert "removed again" not in done.stderr
    assert aws_here.calls("DeleteEndpoint") == []


def test_before_an_endpoint_is_made_nothing_goes_on(aws_here, tmp_path):
    put_bucket(aws_here)
    may_answer = threading.Event()
    aws_here.answer("DescribeModel", lambda _: may_answer.wait(WAIT_SECONDS) and {})
    path = write_deployment(tmp_path)
    code, said = stopped(aws_here, path, lambda: aws_here.calls("DescribeModel"))
    may_answer.set()
    assert code == 130
    assert f"stopped before endpoint dogs was touched: `kennel deploy {path}` goes on" in said
    assert aws_here.calls("CreateEndpoint") == []


def test_an_update_goes_on_and_the_same_command_waits_for_it(aws_here, tmp_path):
    put_bucket(aws_here)
    updates = Updates(aws_here)
    path = write_deployment(tmp_path)
    assert typed("deploy", path, "--yes").returncode == 0
    fixed_bundle(tmp_path / "other", b"other")
    path = write_deployment(tmp_path, bundle="other")
    updates.ends["EndpointStatus"] = "Updating"
    code, said = stopped(aws_here, path, lambda: aws_here.calls("AddTags"))
    assert code == 130
    assert "goes on in AWS" in said
    config = updates.seen[0]["EndpointConfigName"]
    done = {"EndpointStatus": "InService", "EndpointConfigName": config}
    aws_here.stages("DescribeEndpoint", {"EndpointStatus": "Updating"}, done)
    again = typed("deploy", path)
    assert again.returncode == 0, again.stderr
    assert "being changed already" in again.stdout
    assert "nothing was changed" in again.stdout
    assert len(updates.seen) == 1


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", ["dogs"]), (b"\n", [])])
def test_on_a_terminal_a_failure_asks_whether_to_remove_what_was_made(
    aws_here, tmp_path, answer, left
):
    put_bucket(aws_here)
    aws_here.stages("DescribeEndpoint", {"EndpointStatus": "Failed", "FailureReason": "no luck"})
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "control", "deploy", str(write_deployment(tmp_path))],
        env={**aws_here.environment, "KENNEL_POLL_SECONDS": "0.05"},
        cwd=REPOSITORY,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.write(ours, b"y\n" + answer)
    told, said = process.communicate(timeout=WAIT_SECONDS)
    os.close(ours)
    assert process.returncode == 1
    assert "remove what was made? [Y/n]" in told
    assert "no luck" in said
    found = aws_here.client("sagemaker").list_endpoints()["Endpoints"]
    assert [one["EndpointName"] for one in found] == left

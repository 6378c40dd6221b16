"""`kennel cleanup` and the person: names, asking, Ctrl-C."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aws_world import no_provisioned, put_endpoint

from control.cli import main


def standing(aws):
    """The endpoints that are there."""
    return [one["EndpointName"] for one in aws.client("sagemaker").list_endpoints()["Endpoints"]]


@pytest.fixture
def account(aws_here):
    """An account in which Lambda knows what moto does not."""
    no_provisioned(aws_here)
    return aws_here


@pytest.mark.parametrize(
    ("words", "told"),
    [([], "expected the NAME"), (["dogs", "--all"], "dogs and --all: give the name, or --all")],
)
def test_a_name_or_all_is_needed(words, told, account, capsys):
    assert main(["cleanup", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_slip_of_the_pen_is_named(account, capsys):
    put_endpoint(account, "dogs")
    assert main(["cleanup", "dgos", "--yes"]) == 0
    assert "did you mean 'dogs'?" in capsys.readouterr().out
    assert "dogs" in standing(account)


def test_a_service_that_refuses_to_list_leaves_it_open_whether_there_is_anything(account, capsys):
    account.fail("ListFunctions", "AccessDeniedException", "no", status=403)
    assert main(["cleanup", "dogs", "--yes"]) == 1
    told = capsys.readouterr().out
    assert "nothing of the name 'dogs' was found in us-east-1" in told
    assert "of Lambda functions kennel cannot tell" in told


def test_nobody_there_to_agree_removes_nothing(aws):
    no_provisioned(aws)
    put_endpoint(aws, "dogs")
    done = aws.kennel("cleanup", "dogs")
    assert done.returncode == 2
    assert "4 things in us-east-1 would go and nobody is here to agree: add --yes" in done.stderr
    assert "dogs" in standing(aws)


def test_on_a_terminal_it_asks_and_takes_no_for_an_answer(aws):
    no_provisioned(aws)
    put_endpoint(aws, "dogs")
    for answer, is_there in ((b"n\n", True), (b"y\n", False)):
        ours, theirs = pty.openpty()
        process = start(aws, ["cleanup", "dogs"], theirs)
        os.write(ours, answer)
        output = process.communicate(timeout=60)[0]
        os.close(ours)
        os.close(theirs)
        assert "go on? [y/N]" in output
        assert ("dogs" in standing(aws)) is is_there
        assert process.returncode == (2 if is_there else 0)


def test_ctrl_c_while_it_waits_says_what_goes_on(aws):
    no_provisioned(aws)
    put_endpoint(aws, "dogs")
    aws.answer("DeleteEndpoint", {})  # it takes its time
    process = start(aws, ["cleanup", "dogs", "--yes"], subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not aws.calls("DeleteEndpoint") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "goes on in AWS, `kennel cleanup dogs` removes the rest" in output
    assert "Traceback" not in output


def start(aws, words, stdin):
    """The command line as a child, its output in one."""
    environment = {**aws.environment, "KENNEL_POLL_SECONDS": "0.05"}
    with contextlib.chdir(Path(__file__).resolve().parents[1]):
        return subprocess.Popen(
            [sys.executable, "-m", "control", *words],
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

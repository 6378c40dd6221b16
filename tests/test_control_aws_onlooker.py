"""Ctrl-C while somebody looks on: each key is heard once, after what the last one led to."""

import io
import os
import pty
import signal
import sys

import pytest

from control.aws.job.interrupts import DetachedError, Interrupts
from control.aws.job.onlooker import Onlooker
from control.aws_client import AwsError


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def held(interrupts, done):
    with interrupts.held():
        with interrupts.held():  # inside another: still held when it ends
            ctrl_c()
        done.append("inner")


def onlooker(interrupts, stop=lambda: None, **others):
    return Onlooker(
        what="training job dogs-1",
        again="kennel again",
        stopping="kennel stop",
        stop=stop,
        interrupts=interrupts,
        echo=io.StringIO(),
        **others,
    )


@pytest.fixture
def keyboard(monkeypatch):
    """The other end of the terminal that is our standard input."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)
    os.close(theirs)


def test_a_key_typed_while_aws_is_asked_to_stop_leaves_afterwards(keyboard):
    done = []

    def stop():
        ctrl_c()
        done.append("asked whole")

    os.write(keyboard, b"s\n")
    with Interrupts() as interrupts, pytest.raises(DetachedError, match="is being stopped"):
        onlooker(interrupts, stop).until_end(ctrl_c)
    assert done == ["asked whole"]


def test_a_key_typed_as_soon_as_it_is_asked_is_heard_by_the_next_wait(keyboard):
    waits = []

    def wait():
        waits.append(None)
        ctrl_c()

    os.write(keyboard, b"s\n")
    with Interrupts() as interrupts, pytest.raises(DetachedError, match="is being stopped"):
        onlooker(interrupts, lambda: None).until_end(wait)
    assert len(waits) == 2


def test_enter_looks_on_and_the_answer_is_that_of_the_second_wait(keyboard):
    waits = []

    def wait():
        waits.append(None)
        if len(waits) == 1:
            ctrl_c()
        return len(waits)

    os.write(keyboard, b"\n")
    with Interrupts() as interrupts:
        assert onlooker(interrupts).until_end(wait) == 2


def test_without_a_terminal_it_goes_on_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("s\n"))
    with Interrupts() as interrupts, pytest.raises(DetachedError) as caught:
        onlooker(interrupts).until_end(ctrl_c)
    assert str(caught.value) == (
        "training job dogs-1 goes on in AWS: `kennel again` looks on again; `kennel stop` stops it"
    )


def test_what_was_stopped_before_is_not_asked_about(keyboard):
    os.write(keyboard, b"\n")
    with Interrupts() as interrupts, pytest.raises(DetachedError, match="is being stopped"):
        onlooker(interrupts, was_stopped=True).until_end(ctrl_c)


def test_held_work_is_finished_and_the_key_comes_after_it():
    done = []
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            held(interrupts, done)
        assert done == ["inner"]
        ctrl_c()  # the next is put off
        with pytest.raises(KeyboardInterrupt):
            interrupts.listen()


def test_what_is_refused_says_how_to_go_on():
    def wait():
        raise AwsError("training job dogs-1: denied", "AccessDenied")

    with Interrupts() as interrupts, pytest.raises(AwsError) as caught:
        onlooker(interrupts).until_end(wait)
    assert str(caught.value) == ("training job dogs-1: denied; it goes on in AWS: `kennel again`")
    assert caught.value.code == "AccessDenied"

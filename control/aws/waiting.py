"""Waiting: ask AWS again and again until something has ended, within a limit."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from contract.errors import HostError, UsageError
from control.aws_client import AwsError

T = TypeVar("T")
POLL_VARIABLE = "KENNEL_POLL_SECONDS"  # how often AWS is asked; docs/sagemaker.md
POLL_SECONDS = 10.0
PATIENCE_SECONDS = 300.0  # with a connection that is broken meanwhile: the thing goes on in AWS


def poll_seconds() -> float:
    """Raises UsageError: the variable holds no number of seconds."""
    text = os.environ.get(POLL_VARIABLE, "")
    try:
        seconds = float(text) if text else POLL_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0.01 <= seconds <= 3600:
        raise UsageError(f"{POLL_VARIABLE}: expected seconds from 0.01 to 3600, got {text!r}")
    return seconds


def wait_for(
    ask: Callable[[], T],
    is_done: Callable[[T], bool],
    *,
    what: str,
    limit_seconds: float,
    look_again: str,
    on_answer: Callable[[T], None] = lambda _: None,
) -> T:
    """The first answer that is done. `on_answer` hears every one.

    Calls that fail because nobody answers are forgiven for PATIENCE_SECONDS; what AWS refuses
    is not. Ctrl-C is left to the caller: the thing itself goes on in AWS.

    Args:
        what: that is waited for, e.g. "endpoint dogs".
        look_again: the command that looks again, for the line when the limit is over.

    Raises HostError: the limit is over. AwsError: AWS refuses.
    """
    every = poll_seconds()
    started = last_heard = time.monotonic()
    while True:
        try:
            answer = ask()
        except AwsError as error:
            if not error.is_transient or time.monotonic() - last_heard > PATIENCE_SECONDS:
                raise
        else:
            last_heard = time.monotonic()
            on_answer(answer)
            if is_done(answer):
                return answer
        if time.monotonic() - started > limit_seconds:
            raise HostError(
                f"{what} has not ended after {limit_seconds / 60:.0f} min; it goes on in AWS: "
                f"look again with `{look_again}`"
            )
        time.sleep(every)

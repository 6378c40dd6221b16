"""Child processes: started without a shell, waited for with a limit, never left behind."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Literal, Protocol

from contract.errors import HostError

# Where our rooms live. Children get it as PYTHONPATH, together with PYTHONSAFEPATH, so that a
# stray train.py in the current folder cannot take the place of our train.
ROOT = Path(__file__).resolve().parents[1]

POLL_SECONDS = 0.1
KILLED_SECONDS = 30.0  # until even a child in an uninterruptible read is gone
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def our_variables() -> dict[str, str]:
    """What every Python child of ours needs besides the environment it inherits."""
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


class Stoppable(Protocol):
    """What `supervise` looks after: a child of ours, or the containers of a job."""

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def terminate(self) -> None:
        """Ask it to end. Returns at once."""

    def kill(self) -> None:
        """End all that belongs to it, now; none left is fine."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended."""


class Child(subprocess.Popen[str]):
    """A process that leads a session of its own: Ctrl-C reaches us alone, we pass on SIGTERM."""

    def kill(self) -> None:
        """SIGKILL to every process of its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def start_child(
    command: Sequence[str],
    *,
    extra: Mapping[str, str] | None = None,
    stdout: IO[str] | int | None = None,
    stderr: IO[str] | int | None = None,
) -> Child:
    """Start a command with `extra` on top of our environment. Raises HostError when it cannot be.

    The streams are Popen's: a file, PIPE, or None for our own.
    """
    try:
        return Child(
            command,
            env={**os.environ, **(extra or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise HostError(f"cannot start {command[0]}: {error.strerror}") from error


@dataclass(slots=True)
class Signals:
    """How often we were told to stop; a handler does nothing but count."""

    count: int = 0

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """Called by the interpreter."""
        self.count += 1


@contextlib.contextmanager
def counting_signals() -> Iterator[Signals]:
    """Count Ctrl-C, SIGTERM and SIGHUP instead of dying; what was ignored (nohup) stays so.

    Enter it before the child starts: a signal in between would leave the child behind.
    """
    signals = Signals()
    before = {
        number: signal.getsignal(number)
        for number in STOP_SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, signals.handle)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended: its exit code (minus a signal's number) and who ended it."""

    code: int
    by: Literal["itself", "limit", "person", "rule"] = "itself"


@dataclass(slots=True, kw_only=True)
class Watch:
    """When a child must stop. Times are in seconds; None is no limit."""

    signals: Signals = field(default_factory=Signals)
    limit_seconds: float | None = None
    grace_seconds: float = 120.0  # from SIGTERM to SIGKILL; SageMaker gives a job the same
    wants_stop: Callable[[], bool] = lambda: False  # of rules that watch it; asked all the time

    def reason(self, seconds: float) -> Literal["person", "limit", "rule"] | None:
        """Who says that a child must stop after so many seconds; None: nobody."""
        if self.signals.count:
            return "person"
        if self.limit_seconds is not None and seconds >= self.limit_seconds:
            return "limit"
        return "rule" if self.wants_stop() else None


def supervise(child: Stoppable, watch: Watch) -> Ending:
    """Wait for a child; stop it when `watch` says so.

    It is asked to end, and killed when the grace is over or a second signal came. Returns with
    nothing of it left.
    """
    started = time.monotonic()
    while (code := child.poll()) is None:
        by = watch.reason(time.monotonic() - started)
        if by is not None:
            return Ending(code=_stop_watched(child, watch), by=by)
        time.sleep(POLL_SECONDS)
    child.kill()
    return Ending(code=code)


def stop(child: Stoppable, grace_seconds: float) -> int:
    """Ask, wait, kill what is left. Returns the exit code."""
    return _stop_watched(child, Watch(grace_seconds=grace_seconds))


def _stop_watched(child: Stoppable, watch: Watch) -> int:
    asked = watch.signals.count
    deadline = time.monotonic() + watch.grace_seconds
    child.terminate()
    while child.poll() is None and time.monotonic() < deadline:
        if watch.signals.count > max(asked, 1):
            break
        time.sleep(POLL_SECONDS)
    child.kill()
    return child.wait(timeout=KILLED_SECONDS)

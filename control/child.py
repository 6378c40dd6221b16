"""Child processes: started without a shell, waited for with a limit, never left behind."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

# Where our rooms live. Children get it as PYTHONPATH, together with PYTHONSAFEPATH, so that a
# stray train.py in the current folder cannot take the place of our train.
ROOT = Path(__file__).resolve().parents[1]

POLL_SECONDS = 0.1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def our_variables() -> dict[str, str]:
    """What every Python child of ours needs besides the environment it inherits."""
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def environment_with(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own environment with `extra` on top."""
    return {**os.environ, **extra}


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
    """How a child ended: its exit code (minus the signal's number) and who ended it."""

    code: int
    by: Literal["itself", "limit", "person"] = "itself"


@dataclass(slots=True, kw_only=True)
class Watch:
    """When a child must stop. Times are in seconds; None is no limit."""

    signals: Signals = field(default_factory=Signals)
    limit_seconds: float | None = None
    grace_seconds: float = 120.0  # from SIGTERM to SIGKILL; SageMaker gives a job the same


def supervise(process: subprocess.Popen[str], watch: Watch) -> Ending:
    """Wait for a child that leads its own session; stop it when `watch` says so.

    It gets SIGTERM, then SIGKILL with all its children when the grace is over or a second signal
    came. Returns with no process of its group left.
    """
    started = time.monotonic()
    while process.poll() is None:
        over = watch.limit_seconds is not None and time.monotonic() - started >= watch.limit_seconds
        if watch.signals.count or over:
            by: Literal["limit", "person"] = "person" if watch.signals.count else "limit"
            return Ending(code=_stop_watched(process, watch), by=by)
        time.sleep(POLL_SECONDS)
    kill_group(process)
    return Ending(code=process.returncode)


def stop(process: subprocess.Popen[str], grace_seconds: float) -> int:
    """SIGTERM, wait, SIGKILL to what is left. Returns the exit code."""
    return _stop_watched(process, Watch(grace_seconds=grace_seconds))


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL to every process of the child's session; none left is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _stop_watched(process: subprocess.Popen[str], watch: Watch) -> int:
    asked = watch.signals.count
    deadline = time.monotonic() + watch.grace_seconds
    process.terminate()
    while process.poll() is None and time.monotonic() < deadline:
        if watch.signals.count > max(asked, 1):
            break
        time.sleep(POLL_SECONDS)
    kill_group(process)
    return process.wait(timeout=30)

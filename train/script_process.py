"""The process of a user's script: its output passed on, its signals too, its last words kept."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from contract.errors import JobError

_TAIL_BYTES = 32768
_POLL_SECONDS = 0.2
_DRAIN_SECONDS = 2.0  # for output of what the script left running
_STOP_SECONDS = 110.0  # SageMaker kills 120 s after SIGTERM
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# The last line of a traceback: `ValueError: text`, `torch.cuda.OutOfMemoryError: text`.
_RAISED = re.compile(r"^(?:\[[^\]]*\]:? ?)*(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit)\b")
_LAUNCHERS = "torch.distributed.elastic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a script ended."""

    code: int  # as a shell counts: 128 + the signal that killed it
    tail: str  # the end of what it wrote
    was_stopped: bool  # SIGTERM or Ctrl-C came while it ran

    @property
    def gave_up(self) -> bool:
        """True when it ended at the signal and in no other way."""
        return self.was_stopped and self.code in {128 + number for number in _SIGNALS}


def run_process(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    is_shell: bool = False,
) -> Ended:
    """Run to the end, however long that takes; output goes to stdout as it comes.

    Args:
        is_shell: a shell waits for its children and passes no signal on, so they are told too.

    Raises JobError: it cannot be started.
    """
    try:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # one pipe keeps the order
            start_new_session=True,  # Ctrl-C reaches it once, from us
        )
    except OSError as error:
        raise JobError(f"{command[0]} cannot be started: {error.strerror}") from error
    with child, _passing_on(child, is_shell) as stops:
        try:
            tail = _pump(child, stops if is_shell else ())
        except BaseException:
            child.kill()
            raise
        code = child.wait()
    return Ended(
        code=code if code >= 0 else 128 - code,
        tail=tail.decode("utf-8", "replace"),
        was_stopped=bool(stops),
    )


def last_words(tail: str, limit: int) -> str:
    """What a script said last, its error first, in at most `limit` characters."""
    lines = [line.rstrip() for line in tail.splitlines() if line.strip()]
    own = [number for number, line in enumerate(lines) if _is_own_error(line)]
    if not own:
        return "\n".join(lines)[-limit:]
    last = own[-1]
    traceback = "\n".join(lines[:last])
    head = lines[last][:limit]
    room = limit - len(head) - 1
    return f"{head}\n{traceback[-room:]}" if room > 40 and traceback else head


def _is_own_error(line: str) -> bool:
    return bool(_RAISED.match(line)) and _LAUNCHERS not in line


def _pump(child: "subprocess.Popen[bytes]", stops: Sequence[float]) -> bytes:
    """Copy the child's output to ours until both it and its output have ended; keep the tail.

    A shell that was told to stop ends before its children, who then save.
    """
    assert child.stdout is not None
    source, tail, ended = child.stdout.fileno(), b"", 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while True:
            if selector.select(_POLL_SECONDS):
                data = os.read(source, 65536)
                if not data:
                    return tail
                _write(data)
                tail = (tail + data)[-_TAIL_BYTES:]
            elif child.poll() is not None:
                ended = ended or time.monotonic()
                patience = _STOP_SECONDS if stops else _DRAIN_SECONDS
                if time.monotonic() - ended > patience:
                    return tail


def _write(data: bytes) -> None:
    """Whole; a reader that is gone does not stop the training."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _passing_on(child: "subprocess.Popen[bytes]", is_shell: bool) -> Iterator[list[float]]:
    """Signals to us go to the child; the list says when they came."""
    stops: list[float] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        stops.append(time.monotonic())
        # First the children, who are known only while the shell lives.
        for process in _children(child.pid) if is_shell else ():
            _send(process, number)
        child.send_signal(number)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _children(process: int) -> list[int]:
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _send(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)

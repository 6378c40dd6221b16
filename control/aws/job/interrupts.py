"""Interrupts: Ctrl-C while something goes on in AWS. It reaches us where nothing is lost by it."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Self, TextIO

from contract.errors import KennelError
from control.terminal import say

Wish = Literal["stop", "detach", "go on"]
WISHES: dict[str, Wish] = {"s": "stop", "stop": "stop", "d": "detach", "detach": "detach"}


class DetachedError(KennelError):
    """Nobody looks on any more, and the job goes on in AWS.

    Args (positional, kept in `args` so that the error pickles):
        message: which job, and the command that looks on again.
        folder: of its run.
    """

    exit_code = 130  # as after any other Ctrl-C

    def __init__(self, message: str, folder: Path | None = None) -> None:
        super().__init__(message, folder)
        self.folder = folder

    def __str__(self) -> str:
        return str(self.args[0])


class Interrupts:
    """While it is open, Ctrl-C raises KeyboardInterrupt, once.

    `held` puts it off. After one was raised the next is put off, too, until somebody listens
    again: what the first one leads to is finished, and no key is lost.
    """

    def __init__(self) -> None:
        self._is_held = self._is_pending = False
        self._before: Any = None  # whatever handled it

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:  # as nohup and a shell's background jobs want it
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What happens inside is finished first. Raises KeyboardInterrupt afterwards."""
        before, self._is_held = self._is_held, True
        try:
            yield
        finally:
            self._is_held = before
        if not before:
            self.listen()

    def listen(self) -> None:
        """From here on Ctrl-C is heard. Raises KeyboardInterrupt: one was put off."""
        self._is_held = False
        if self._is_pending:
            self._raise()

    def put_off(self) -> None:
        """From here on Ctrl-C waits until somebody listens again."""
        self._is_held = True

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_held:
            self._is_pending = True
        else:
            self._raise()

    def _raise(self) -> None:
        self._is_held, self._is_pending = True, False
        raise KeyboardInterrupt


def wish_of_person(what: str, interrupts: Interrupts, to: TextIO) -> Wish:
    """What somebody who typed Ctrl-C wants; without a terminal nobody can be asked: detach.

    Afterwards Ctrl-C is put off.

    Args:
        what: that goes on in AWS, e.g. "training job dogs-1".
    """
    if not sys.stdin.isatty():
        return "detach"
    try:
        interrupts.listen()
        say(f"\n{what}: s stops it, d lets it go on in AWS, Enter looks on [s/d/Enter] ", to=to)
        answer = sys.stdin.readline()
        interrupts.put_off()
    except KeyboardInterrupt:  # typed again, instead of an answer
        return "detach"
    return WISHES.get(answer.strip().lower(), "go on") if answer else "detach"

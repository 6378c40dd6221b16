"""Onlooker: waits for the end of something in AWS, and does what Ctrl-C asks for meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

from control.aws.job.interrupts import DetachedError, Interrupts, Wish, wish_of_person
from control.aws_client import AwsError

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Onlooker:
    """Looks on until the end, or until the person leaves: the thing goes on without us.

    Args:
        what: is looked at, e.g. "training job dogs-1".
        again: the command that goes on where this one leaves off.
        stopping: the command that stops the thing.
        stop: does that now, and says so. Raises AwsError.
        goes_on: what the thing does when nobody looks.
        folder: of its run, when it has one.
        was_stopped: by somebody, in this session or an earlier one: Ctrl-C asks nothing more.
    """

    what: str
    again: str
    stopping: str
    stop: Callable[[], object]
    interrupts: Interrupts
    echo: TextIO
    goes_on: str = "goes on in AWS"
    folder: Path | None = None
    was_stopped: bool = False

    def until_end(self, wait: Callable[[], T]) -> T:
        """What `wait` returns; it is called again when the person wants to look on.

        Raises DetachedError after Ctrl-C, AwsError when AWS refuses, with the command that goes
        on; and as `wait` does.
        """
        while True:
            try:
                try:
                    self.interrupts.listen()
                    return wait()
                except KeyboardInterrupt:
                    self._heed()
            except AwsError as error:
                raise AwsError(f"{error}; it {self.goes_on}: `{self.again}`", error.code) from None

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """What is left of it is fetched inside. Raises DetachedError after Ctrl-C."""
        try:
            yield
        except KeyboardInterrupt:
            told = (
                f"{self.what} has ended, and not all of it was fetched: `{self.again}` fetches it"
            )
            raise DetachedError(told, self.folder) from None

    def detached(self) -> DetachedError:
        """For whoever leaves now: what it does without them, and how to come back."""
        state = "is being stopped" if self.was_stopped else self.goes_on
        stop = "" if self.was_stopped else f"; `{self.stopping}` stops it"
        told = f"{self.what} {state}: `{self.again}` looks on again{stop}"
        return DetachedError(told, self.folder)

    def _heed(self) -> None:
        """After Ctrl-C. Until the wait goes on the next one is put off, and heard then."""
        wish: Wish = "detach"
        if not self.was_stopped:
            wish = wish_of_person(self.what, self.interrupts, self.echo)
        if wish == "detach":
            raise self.detached()
        if wish == "stop":
            self.was_stopped = True
            self.stop()

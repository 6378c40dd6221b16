"""Transform: send every picture of a plan to a server, and keep the answers in the plan's order."""

import contextlib
import time
from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from contract.errors import ImageError, KennelError, RequestError
from control.child import Signals
from control.picture_client import PictureClient
from control.progress import Progress
from control.transform_input import TransformInput
from control.transform_results import ResultFiles
from control.transform_row import Row, answered, refused

WINDOW = 64  # pictures for each thread that may be ahead of the slowest
COMMIT_SECONDS = 1.0
LOOK_SECONDS = 0.05  # between two looks at what has come, signals and the clock

Ahead = deque[tuple[bytes, Future[Row]]]


class Work(Protocol):
    """How a name becomes a row, on many threads at once."""

    def run(self, name: bytes) -> Row:
        """The row. Raises HostError: all must stop."""
        ...

    def stop(self) -> None:
        """Have every `run` return soon."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a thread needs to turn a name into a row."""

    pictures: TransformInput
    client: PictureClient
    format: str

    def run(self, name: bytes) -> Row:
        """Read the picture, ask, and write down what came. Raises HostError: all must stop."""
        try:
            data = self.pictures.read(name)
        except ImageError as error:
            return refused(name, "", str(error))
        if not data:
            return refused(name, "", "the file is empty")
        try:
            return answered(name, self.client.ask(data), self.format)
        except RequestError as error:
            return refused(name, error.status, error.message)

    def stop(self) -> None:
        """Have those that ask return."""
        self.client.stop()


def transform(
    task: Work, files: ResultFiles, num_threads: int, progress: Progress, signals: Signals
) -> bool:
    """Answer what is left of the plan. False when a signal came; what is done is committed.

    Rows are written in the plan's order, from this thread alone; a window of pictures may be ahead,
    so memory stays the same for any number. Raises HostError: nothing more can be answered.
    """
    names = files.names()
    ahead: Ahead = deque()
    committed = time.monotonic()
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="transform")
    try:
        while not signals.count:
            while len(ahead) < WINDOW * num_threads and (name := next(names, None)) is not None:
                ahead.append((name, pool.submit(task.run, name)))
            if not ahead:
                return True
            # Not woken by each answer: that would cost as much as asking.
            time.sleep(LOOK_SECONDS)
            _write_answered(ahead, files)
            now = time.monotonic()
            if now - committed >= COMMIT_SECONDS:
                files.commit(now - committed)
                committed = now
            progress.show(files.state.done, _remark(files.state.refused))
        return False
    finally:
        task.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        with contextlib.suppress(KennelError, CancelledError):  # raised once already, or expected
            _write_answered(ahead, files)
        files.commit(time.monotonic() - committed)
        progress.clear()


def _write_answered(ahead: Ahead, files: ResultFiles) -> None:
    """Write the rows that have come, up to the first that has not. Raises what its thread did."""
    while ahead and ahead[0][1].done():
        name, future = ahead[0]
        files.add(name, future.result())
        ahead.popleft()


def _remark(num_refused: int) -> str:
    return f"{num_refused:,} refused" if num_refused else ""

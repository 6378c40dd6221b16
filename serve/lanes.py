"""Lanes: the threads that decode and compute, one a processor, for all models of this process.

A lane takes the picture that has waited longest, and with it those that come next for the same
model, if that model computes a batch faster than its pictures one by one. So batches form only
while all lanes are busy, and nobody ever waits for company.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.choice import has_nvidia_gpu
from classifier.preprocess import Pixels
from contract.errors import ImageError, RequestError
from serve.telemetry import QUEUE_DEPTH, Telemetry

BUSY_RETRY_SECONDS = 1
Rows = NDArray[np.float32]


def lane_count(num_cpus: int) -> int:
    """One a processor; twice as many beside a GPU, since half of them wait for it."""
    return 2 * num_cpus if has_nvidia_gpu() else num_cpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a model has done to each of its pictures."""

    decode: Callable[[Any], Pixels]  # a source to uint8 (H, W, 3); raises ImageError, RequestError
    compute: Callable[[Pixels], Rows]  # uint8 (N, H, W, 3) to float32 (N, K)
    batch_size: int = 1  # most pictures of one `compute`


class Ticket:
    """One request: its pictures' rows as they come, or the first thing that went wrong."""

    def __init__(self, num_pictures: int) -> None:
        self.rows: list[Rows | None] = [None] * num_pictures
        self.errors: dict[int, Exception] = {}
        self.given_up = False
        self._left = num_pictures
        self._lock = threading.Lock()
        self._done = threading.Lock()  # held until all is done: an Event costs several of them
        self._done.acquire()

    def settle(self, index: int, result: Rows | Exception) -> None:
        """One picture is done."""
        with self._lock:
            if isinstance(result, Exception):
                self.errors[index] = result
            else:
                self.rows[index] = result
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._done.release()

    def wait(self, seconds: float) -> bool:
        """False when it is not done by then. To be called once."""
        return self._done.acquire(timeout=seconds)


@dataclass(frozen=True, slots=True)
class Item:
    """One picture that waits."""

    work: Work
    source: Any
    ticket: Ticket
    index: int


class Lanes:
    """A bounded queue and `num_lanes` threads. Thread-safe."""

    def __init__(
        self,
        num_lanes: int,
        max_waiting: int,
        timeout_seconds: float,
        telemetry: Telemetry | None = None,
    ) -> None:
        """`max_waiting`: pictures; a request that finds so many is refused."""
        self.num_lanes = num_lanes
        self._max_waiting, self._timeout_seconds = max_waiting, timeout_seconds
        self._telemetry = telemetry
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        if telemetry is not None:
            telemetry.watch(QUEUE_DEPTH, lambda: len(self._waiting))

    def run(self, work: Work, sources: Sequence[Any]) -> Rows:
        """Rows (N, K) of all `sources`, in their order. Blocks.

        Raises:
            RequestError: 503 when too many pictures wait, or the turn does not come in time.
            ImageError, RequestError: from `work.decode`, of the first picture that failed.
        """
        ticket = Ticket(len(sources))
        with self._changed:
            if len(self._waiting) >= self._max_waiting:
                if self._telemetry is not None:
                    self._telemetry.refused()
                raise RequestError(
                    503,
                    f"{len(self._waiting)} pictures wait for their turn, the limit is "
                    f"{self._max_waiting}; try again",
                    BUSY_RETRY_SECONDS,
                )
            self._waiting.extend(
                Item(work, source, ticket, index) for index, source in enumerate(sources)
            )
            self._start()
            self._changed.notify(len(sources))
        if not ticket.wait(self._timeout_seconds):
            ticket.given_up = True
            raise RequestError(
                503, "the server is busy with earlier requests; try again", BUSY_RETRY_SECONDS
            )
        if ticket.errors:
            raise _numbered(min(ticket.errors.items()), len(sources))
        return np.stack([row for row in ticket.rows if row is not None])

    def _start(self) -> None:
        """Threads are made at the first picture: a process may fork after its imports."""
        if self._threads:
            return
        self._threads = [
            threading.Thread(target=self._loop, name=f"lane-{number}", daemon=True)
            for number in range(self.num_lanes)
        ]
        for thread in self._threads:
            thread.start()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                items = self._take()
            self._serve(items)
            del items  # no reference to a model outlives its requests

    def _take(self) -> list[Item]:
        """The longest-waiting picture, and its company."""
        items = [self._waiting.popleft()]
        work = items[0].work
        while len(items) < work.batch_size and self._waiting and self._waiting[0].work is work:
            items.append(self._waiting.popleft())
        return items

    def _serve(self, items: list[Item]) -> None:
        started = time.perf_counter()
        decoded: list[tuple[Item, Pixels]] = []
        for item in items:
            if item.ticket.given_up:
                continue
            try:
                decoded.append((item, item.work.decode(item.source)))
            except Exception as error:  # carried to the thread that waits, which raises it
                item.ticket.settle(item.index, error)
        if not decoded:
            return
        between = time.perf_counter()
        try:
            pixels = [picture for _, picture in decoded]
            images = pixels[0][None] if len(pixels) == 1 else np.stack(pixels)
            rows = items[0].work.compute(images)
        except Exception as error:  # as above
            for item, _ in decoded:
                item.ticket.settle(item.index, error)
            return
        if self._telemetry is not None:
            ended = time.perf_counter()
            self._telemetry.batch(len(decoded), between - started, ended - between)
        for (item, _), row in zip(decoded, rows, strict=True):
            item.ticket.settle(item.index, row)


def _numbered(failed: tuple[int, Exception], num_pictures: int) -> Exception:
    """The error, naming the picture where there are several."""
    index, error = failed
    if num_pictures == 1:
        return error
    where = f"picture {index + 1} of {num_pictures}: "
    if isinstance(error, RequestError):
        return RequestError(error.status, where + error.message, error.retry_after_seconds)
    if isinstance(error, ImageError):
        return type(error)(f"{where}{error}")
    return error

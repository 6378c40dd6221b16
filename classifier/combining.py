"""Combining: calls from many threads become few calls with many pictures.

The thread that finds the device free computes for all that wait, while the next ones gather. So
a batch grows with the load, and nobody waits for company on an idle device.
"""

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from classifier.preprocess import Pixels

Rows = NDArray[np.float32]


class _Call:
    """One thread's pictures, and its rows or error once they are computed."""

    def __init__(self, images_NHWC: Pixels) -> None:
        self.images = images_NHWC
        self.rows: Rows | None = None
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.rows is not None or self.error is not None


class Combiner:
    """`compute` for many threads; it is never called by two at a time."""

    def __init__(self, compute: Callable[[Pixels], Rows], most: int) -> None:
        """`most`: pictures of one call, unless a single caller brings more."""
        self._compute, self._most = compute, most
        self._changed = threading.Condition()
        self._waiting: list[_Call] = []
        self._is_busy = False

    def __call__(self, images_NHWC: Pixels) -> Rows:
        """float32 (N, K) of uint8 (N, H, W, 3). Raises what `compute` raised for its batch."""
        call = _Call(images_NHWC)
        with self._changed:
            self._waiting.append(call)
        # Whoever wakes first computes for those that came first, which may not be itself.
        while True:
            with self._changed:
                self._changed.wait_for(lambda: call.is_done or not self._is_busy)
                if call.is_done:
                    break
                batch = self._take()
                self._is_busy = True
            self._run(batch)
        if call.error is not None:
            raise call.error
        assert call.rows is not None
        return call.rows

    def _take(self) -> list[_Call]:
        """The calls that have waited longest, up to the largest batch."""
        count = 0
        for number, call in enumerate(self._waiting):
            count += len(call.images)
            if number and count > self._most:
                break
        else:
            number += 1
        batch, self._waiting = self._waiting[:number], self._waiting[number:]
        return batch

    def _run(self, batch: list[_Call]) -> None:
        images = [call.images for call in batch]
        rows: Rows | None = None
        error: Exception | None = None
        try:
            rows = self._compute(images[0] if len(images) == 1 else np.concatenate(images))
        except Exception as raised:  # each thread of the batch raises it
            error = raised
        first = 0
        with self._changed:
            for call in batch:
                if rows is None:
                    call.error = error
                else:
                    call.rows = rows[first : first + len(call.images)]
                    first += len(call.images)
            self._is_busy = False
            self._changed.notify_all()

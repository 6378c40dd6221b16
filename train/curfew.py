"""Curfew: when trials under way have to end, by a signal or because the study's time is over."""

import logging
import time
from collections.abc import Callable

from train.stop import Stop

log = logging.getLogger(__name__)

_SAVE_SECONDS = 25.0  # for trials to save themselves


class Curfew:
    """Asked again and again. Trials are told to end, and those that do not are ended."""

    def __init__(self, stop: Stop, limit_seconds: int | None, clock: Callable[[], float]) -> None:
        """`clock`: the study's seconds so far, of all sessions."""
        self._stop, self._limit_seconds, self._clock = stop, limit_seconds, clock
        self._kill_at: float | None = None  # of monotonic
        self.is_out_of_time = False

    def begins(self) -> bool:
        """True once a cause: now they are to be told."""
        is_new = False
        if not self.is_out_of_time and self._limit_seconds is not None:
            is_new = self.is_out_of_time = self._clock() > self._limit_seconds
        if self._stop.signalled and self._kill_at is None:
            log.info("stop   told to stop: trials under way are saved")
            is_new = True
        if is_new:
            self._kill_at = time.monotonic() + _SAVE_SECONDS
        return is_new

    @property
    def reason(self) -> str | None:
        """Why no more trials begin; None after a signal alone."""
        words = f"max_runtime_seconds ({self._limit_seconds}) are over"
        return words if self.is_out_of_time else None

    @property
    def is_over(self) -> bool:
        """Whoever has not ended by now will not."""
        return self._kill_at is not None and time.monotonic() > self._kill_at

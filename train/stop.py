"""Why training ends before its last epoch: SIGTERM, or the time budget."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Asked between steps. The signal handler only sets a flag."""

    def __init__(self, max_seconds: float = 0.0) -> None:
        self.signalled = False
        self.limit(max_seconds)

    def limit(self, max_seconds: float) -> None:
        """The budget starts now; 0 is none."""
        self._deadline = time.monotonic() + max_seconds if max_seconds else None

    @property
    def out_of_time(self) -> bool:
        """True once the budget (max-train-seconds) is spent."""
        return self._deadline is not None and time.monotonic() > self._deadline

    @property
    def now(self) -> bool:
        """True when no further step should be taken."""
        return self.signalled or self.out_of_time

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGTERM (SageMaker's stop, spot) and SIGINT (Ctrl-C) set `signalled` meanwhile."""

        def handle(_signal: int, _frame: FrameType | None) -> None:
            self.signalled = True

        before = {number: signal.signal(number, handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


_SIGNALS = (signal.SIGTERM, signal.SIGINT)

"""StopSignal: SIGTERM and Ctrl-C mean that the job has ended: evaluate what is left, write, end."""

import signal
import time
from pathlib import Path
from types import FrameType

SLICE_SECONDS = 0.2


class StopSignal:
    """Hears it meanwhile; use it in a `with` block in the main thread."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self._is_told = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def is_told(self) -> bool:
        """A signal has come, or the file is there."""
        return self._is_told or (self.file is not None and self.file.exists())

    def pause(self, seconds: float) -> None:
        """Wait so long, or until it is told. A handler that ends a wait may lock itself out."""
        until = time.monotonic() + seconds
        while not self.is_told and (left := until - time.monotonic()) > 0:
            time.sleep(min(SLICE_SECONDS, left))

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._is_told = True

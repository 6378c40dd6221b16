"""Progress: how far a command is, as one moving line on a terminal or plain ones now and then."""

import contextlib
import time
from typing import TextIO

from control.terminal import ERASE_LINE, bar, duration

TERMINAL_SECONDS = 0.2  # between two redrawings
PLAIN_SECONDS = 15.0
RATE_WINDOW_SECONDS = 30.0  # the rate is that of the last while, not of a slow start


class Progress:
    """Says how far we are, on `stream`. Nobody needs to listen: a closed stream is no error.

    Args:
        done: what earlier sessions did; it counts for the bar, not for the rate.
        unit: of the numbers, e.g. `MB`; without one they count things.
    """

    def __init__(self, stream: TextIO, total: int, done: int = 0, *, unit: str = "") -> None:
        self._stream, self._total, self._done = stream, total, done
        self._unit = f" {unit}" if unit else ""
        self._is_terminal = stream.isatty()
        now = time.monotonic()
        self._marks = [(now, done)]  # (when, how many), of the last while
        self._shown = now if not self._is_terminal else 0.0

    def show(self, done: int, remark: str = "") -> None:
        """Say it when the time has come; cheap enough for every step."""
        now = time.monotonic()
        if now - self._shown < (TERMINAL_SECONDS if self._is_terminal else PLAIN_SECONDS):
            return
        self._shown, self._done = now, done
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > RATE_WINDOW_SECONDS:
            del self._marks[0]
        self._write(self._text(remark))

    def clear(self) -> None:
        """Leave the terminal's line empty for what comes next."""
        if self._is_terminal:
            self._put(ERASE_LINE)

    def _text(self, remark: str) -> str:
        (then, before), (now, done) = self._marks[0], self._marks[-1]
        rate = (done - before) / (now - then) if now > then else 0.0
        share = done / self._total if self._total else 0.0
        parts = [
            f"{done:,} of {self._total:,}{self._unit} ({share:.0%})",
            f"{rate:.1f}{self._unit} a second",
        ]
        if rate > 0:
            parts.append(f"{duration((self._total - done) / rate)} left")
        if remark:
            parts.append(remark)
        text = ", ".join(parts)
        return f"[{bar(share)}] {text}" if self._is_terminal else text

    def _write(self, text: str) -> None:
        self._put(f"{ERASE_LINE}{text}" if self._is_terminal else f"{text}\n")

    def _put(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

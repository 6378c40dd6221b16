"""Transcript: a job's output, copied line by line to a person and a file, metrics picked out."""

import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TextIO

from contract.metrics import read_metrics
from control.terminal import ERASE_LINE, say

JOIN_SECONDS = 30.0  # a pipe whose writers are all dead ends at once; this is for the unforeseen


class Transcript:
    """Copies the streams of a job's children. `metrics` holds the last value of each metric.

    Args:
        path: the log file, continued when it is there; both streams go to it, in the order in
            which their lines came.
        clear_lines: stdout shares its terminal with a progress bar that must be wiped first.
    """

    def __init__(self, path: Path, *, clear_lines: bool = False) -> None:
        self.metrics: dict[str, float] = {}
        self._file = path.open("a", encoding="utf-8")
        self._prefix = ERASE_LINE if clear_lines else ""
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finish()

    def copy(self, stream: IO[str], echo: TextIO, *, speaker: str = "") -> None:
        """Copy `stream` to `echo` and the file until it ends, on a thread of its own.

        `speaker` starts every line, where several hosts talk at the same time.
        """
        thread = threading.Thread(target=self._pump, args=(stream, echo, speaker), daemon=True)
        self._threads.append(thread)
        thread.start()

    def note(self, text: str, echo: TextIO) -> None:
        """A line of ours among the job's. From any thread."""
        with self._lock:
            if not self._file.closed:
                self._file.write(text + "\n")
                self._file.flush()
            self._show(text, echo)

    def line(self, text: str, echo: TextIO) -> bool:
        """A line of the job's, however it came: its metrics count. False when nobody reads."""
        with self._lock:
            if not self._file.closed:
                self._file.write(text + "\n")
                self._file.flush()
            self.metrics.update(read_metrics(text))
            return self._show(text, echo)

    def drain(self) -> None:
        """Wait for the last lines of streams that have ended."""
        for thread in self._threads:
            thread.join(timeout=JOIN_SECONDS)
        self._threads.clear()

    def finish(self) -> None:
        """Wait for the last lines and close the file."""
        self.drain()
        with self._lock:
            self._file.close()

    def _pump(self, stream: IO[str], echo: TextIO, speaker: str) -> None:
        shown = True
        with stream:
            for line in stream:
                text = speaker + line.rstrip("\r\n")
                with self._lock:
                    if self._file.closed:
                        return
                    self._file.write(text + "\n")
                    self._file.flush()
                    self.metrics.update(read_metrics(text))
                    shown = shown and self._show(text, echo)

    def _show(self, text: str, echo: TextIO) -> bool:
        """False when nobody reads any more (`kennel run ... | head`): the job goes on, unseen."""
        try:
            say(self._prefix + text, to=echo)
        except (OSError, ValueError):
            return False
        return True

"""Worker: a process that runs trials, one after another, as the master of a study tells it to.

Started as `python -m train.worker`. It ends when its master does.
"""

import argparse
import contextlib
import logging
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from contract.errors import HostError, InterruptedJobError
from train.attempt import attempt
from train.metrics_file import EpochRow
from train.orders import WARNING, Line, TrialOrder, channels_of_json
from train.stop import Stop

if TYPE_CHECKING:  # it takes seconds: torch
    from train.trial import Bench

_ANSWER_SECONDS = 600.0  # for the master to say whether a trial goes on
_ORDER_SECONDS = 3600.0  # between two looks for an order


class Worker:
    """Carries out orders. Signals reach it through `hear`."""

    def __init__(self, line: Line, cpus: Sequence[int]) -> None:
        self._line, self._cpus = line, cpus
        self._orders: queue.Queue[dict[str, Any]] = queue.Queue()
        self._stop: Stop | None = None  # of the trial under way
        self._is_learning = False
        self._is_told_to_stop = False  # no trial begins any more

    def run(self) -> None:
        """Until the master hangs up; then the process ends, whatever it does."""
        threading.Thread(target=self._listen, daemon=True).start()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the master passes on what is meant for us
        signal.signal(signal.SIGTERM, self.hear)
        hello = self._next(_ORDER_SECONDS)
        from train.trial import Bench

        bench = Bench(channels_of_json(hello["channels"]), Path(hello["work_dir"]))
        self._line.send({"event": "ready"})
        while True:
            order = self._next(_ORDER_SECONDS)
            if order["do"] == "keep":
                self._keep(bench, order)
            elif order["do"] == "run":
                self._run(bench, TrialOrder.of_json(order))
            elif order["do"] == "finish":
                self._finish(bench, TrialOrder.of_json(order))

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        """SIGTERM: between two steps a flag does, before the first there is nothing to save."""
        self._is_told_to_stop = True
        if self._stop is None:
            return
        self._stop.signalled = True
        if not self._is_learning:
            raise InterruptedJobError("told to stop before the trial began")

    def _listen(self) -> None:
        while True:
            try:
                messages = self._line.read()
            except (EOFError, OSError):
                os._exit(1)  # nobody needs us any more, and the main thread may be far away
            for message in messages:
                self._orders.put(message)

    def _next(self, seconds: float) -> dict[str, Any]:
        while True:
            try:
                return self._orders.get(timeout=seconds)
            except queue.Empty:
                if seconds < _ORDER_SECONDS:
                    raise HostError("the study's master does not answer") from None

    def _run(self, bench: "Bench", order: TrialOrder) -> None:
        _speak(logging.INFO if order.tells else logging.ERROR)
        outcome: dict[str, Any] = {}

        def work() -> None:
            self._stop, self._is_learning = Stop(), False
            try:
                if self._is_told_to_stop:
                    raise InterruptedJobError("told to stop before the trial began")
                if order.prepares:
                    self._prepare(bench, order)
                found = bench.run(order, self._stop, begin=self._begin, report=self._report)
            finally:
                self._stop = None
            outcome.update(
                event="interrupted" if found.is_interrupted else "done",
                reason="the trial was told to stop" if found.is_interrupted else "",
                metrics=found.metrics,
                rows=[asdict(row) for row in found.rows],
                is_cut=found.is_cut,
            )

        self._attempt(work, outcome)

    def _prepare(self, bench: "Bench", order: TrialOrder) -> None:
        pin(order.cpus)
        bench.prepare(order)
        pin(self._cpus)
        self._line.send({"event": "prepared"})

    def _begin(self) -> None:
        self._is_learning = True

    def _report(self, row: EpochRow) -> bool:
        self._line.send({"event": "epoch", "row": asdict(row)})
        return bool(self._next(_ANSWER_SECONDS)["do"] == "end")

    def _keep(self, bench: "Bench", order: dict[str, Any]) -> None:
        outcome = {"event": "kept"}
        self._attempt(lambda: bench.keep(Path(order["folder"])), outcome)

    def _finish(self, bench: "Bench", order: TrialOrder) -> None:
        _speak(logging.INFO)
        pin(order.cpus)
        outcome = {"event": "finished"}
        self._attempt(lambda: bench.finish(order, Stop()), outcome)

    def _attempt(self, work: Any, outcome: dict[str, Any]) -> None:
        """Do the work and send its outcome, or why there is none."""
        ended = attempt(work)
        if ended.code:
            outcome = {
                "event": "interrupted" if ended.is_stopped else "failed",
                "code": ended.code,
                "kind": ended.kind,
                "reason": ended.reason,
                "leaves": not ended.is_expected,
            }
        self._line.send(outcome)
        if not ended.is_expected:
            # Out of memory, or worse: nobody knows what it left behind.
            sys.exit(1)


class Voice(logging.StreamHandler[TextIO]):
    """Speaks for itself; warnings go to the master, who tells each once for all workers."""

    def __init__(self, line: Line) -> None:
        super().__init__(sys.stdout)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        """From the main thread, as all that goes to the master."""
        if record.levelno != logging.WARNING:
            super().emit(record)
            return
        with contextlib.suppress(OSError):  # it is gone, and we shall be
            self._line.send({"event": WARNING, "text": self.format(record)})


def pin(cpus: Sequence[int]) -> None:
    """Let all threads of this process run on these CPUs only. Nothing where that cannot be."""
    if not cpus or not hasattr(os, "sched_setaffinity"):
        return
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread), cpus)


def main(arguments: Sequence[str]) -> None:
    """Begin where the master's command line says."""
    parser = argparse.ArgumentParser(prog="python -m train.worker")
    parser.add_argument("--socket", type=int, required=True, help="an open descriptor")
    parser.add_argument("--cpus", type=lambda text: [int(word) for word in text.split(",") if word])
    given = parser.parse_args(arguments)
    pin(given.cpus or [])  # before torch counts them
    line = Line(socket.socket(fileno=given.socket))
    handler = Voice(line)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger("train").handlers[:] = [handler]
    logging.getLogger("train").propagate = False
    _speak(logging.ERROR)
    Worker(line, given.cpus or ()).run()


def _speak(level: int) -> None:
    logging.getLogger("train").setLevel(level)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Crew: the worker processes of a study on this host, each with its share of CPUs or its GPU."""

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.host import cpu_limit
from train.orders import WARNING, Line, TrialOrder
from train.record import Record
from train.world import SHARERS

if TYPE_CHECKING:  # it takes a second: optuna; meanwhile workers can load torch
    from train.study import Claim

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[1]
_GPUS = Path("/proc/driver/nvidia/gpus")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_KILLED_SECONDS = 30.0  # until even a process in an uninterruptible read is gone


@dataclass(kw_only=True)
class Hand:
    """One worker, seen from the master."""

    index: int
    process: "subprocess.Popen[bytes]"
    line: Line
    is_ready: bool = False  # loaded, and without an order
    was_ready: bool = False  # it could be loaded, whatever became of it
    claim: "Claim | None" = None  # the trial that it runs
    record: Record = field(default_factory=Record)
    began: float = 0.0  # of monotonic
    told_at: float = 0.0  # when the log had its last line of the trial
    cut_reason: str | None = None  # why the trial was told to end early
    is_whole: bool = False  # ended early, but with all that it was meant to have
    is_interrupted: bool = False  # its weights are kept, but it has not ended

    def begin(self, claim: "Claim", worker: str) -> None:
        """A new trial; nothing is left of the last."""
        self.claim, self.record = claim, claim.before.next_session(worker)
        self.began = self.told_at = time.monotonic()
        self.cut_reason, self.is_whole, self.is_interrupted = None, False, False

    def count_seconds(self, claim: "Claim") -> None:
        """Of all sessions of its trial; of those that were killed, the epochs that they saved."""
        sessions = claim.before.seconds + time.monotonic() - self.began
        epochs = sum(row.get("seconds", 0.0) for row in self.record.curves)
        self.record.seconds = max(sessions, epochs)

    def send(self, message: Mapping[str, Any]) -> None:
        """A worker that is gone is noticed elsewhere."""
        with contextlib.suppress(OSError):
            self.line.send(message)

    def order(self, order: TrialOrder) -> None:
        """Hand over a trial."""
        self.is_ready = False
        self.send(order.to_json())

    def terminate(self) -> None:
        """Ask the trial to end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """End the process and all that it started, now."""
        self.line.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_KILLED_SECONDS)


class Crew:
    """Starts workers, hears them, replaces those that die."""

    def __init__(self, size: int, hello: Mapping[str, Any], work_dir: Path) -> None:
        self._hello, self._work_dir = hello, work_dir
        self.cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._shares = share_cpus(self.cpus, cpu_limit(), size, os.getpid())
        self._gpus = visible_gpus(os.environ)
        self.size = size
        self.hands: list[Hand] = []
        self._selector = selectors.DefaultSelector()
        self._started = 0
        self._warned: set[str] = set()

    def fill(self, count: int) -> None:
        """Have `count` workers, at most as many as there are shares."""
        taken = {hand.index for hand in self.hands}
        free = [index for index in range(self.size) if index not in taken]
        for index in free[: max(0, count - len(self.hands))]:
            self._start(index)

    def _start(self, index: int) -> None:
        ours, theirs = socket.socketpair()
        # The same code as ours; -P: not what is called `train` in the working folder.
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        variables = {**os.environ, "PYTHONPATH": path}
        gpus = max(1, len(self._gpus))
        variables[SHARERS] = str(len(range(index % gpus, self.size, gpus)))
        if self._gpus:
            variables[_VISIBLE] = self._gpus[index % gpus]
        cpus = ",".join(map(str, self._shares[index]))
        command = [sys.executable, "-P", "-m", "train.worker", "--socket", str(theirs.fileno())]
        with theirs:
            process = subprocess.Popen(
                [*command, "--cpus", cpus],
                env=variables,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C is for the master
            )
        hand = Hand(index=index, process=process, line=Line(ours))
        # Archives are unpacked in a folder of each worker's own.
        folder = self._work_dir / f"worker-{self._started}"
        folder.mkdir(parents=True, exist_ok=True)
        self._started += 1
        hand.send({**self._hello, "work_dir": str(folder)})
        self.hands.append(hand)
        self._selector.register(hand.line, selectors.EVENT_READ, hand)

    def hear(self, seconds: float) -> Iterator[tuple[Hand, dict[str, Any] | None]]:
        """What workers have said, waiting at most so long; None of one that is gone."""
        for key, _ in self._selector.select(seconds):
            hand: Hand = key.data
            try:
                messages = hand.line.read()
            except (EOFError, OSError):
                yield hand, None
                continue
            for message in messages:
                if message["event"] == WARNING:
                    self._warn(message["text"])
                else:
                    yield hand, message
        # Its children may still hold the connection open.
        for hand in [hand for hand in self.hands if hand.process.poll() is not None]:
            yield hand, None

    def _warn(self, text: str) -> None:
        """Several workers, and a worker for several trials, have the same to say."""
        if text not in self._warned:
            self._warned.add(text)
            log.warning("%s", text)

    def drop(self, hand: Hand) -> str:
        """Forget a worker that is gone; how it ended, in words."""
        if hand not in self.hands:
            return ""
        self.hands.remove(hand)
        self._selector.unregister(hand.line)
        hand.end()
        return describe_end(hand.process.returncode)

    def end(self, *, but: Hand | None = None) -> None:
        """End all workers now, but one."""
        for hand in [hand for hand in self.hands if hand is not but]:
            self.drop(hand)


def share_cpus(cpus: Sequence[int], limit: int, count: int, offset: int) -> list[tuple[int, ...]]:
    """For each of `count` workers the CPUs that it may use, evenly divided; one at least.

    `limit` is what the container may use of them in time. Where that is less than all, containers
    beside this one have the same CPUs to choose from: each begins elsewhere, by its `offset`.
    """
    if not cpus:
        return [()] * count
    start = offset % len(cpus) if limit < len(cpus) else 0
    ours = [*cpus[start:], *cpus[:start]][:limit]
    if count >= len(ours):
        return [(ours[index % len(ours)],) for index in range(count)]
    bounds = [round(index * len(ours) / count) for index in range(count + 1)]
    return [tuple(ours[low:high]) for low, high in pairwise(bounds)]


def visible_gpus(environment: Mapping[str, str], gpus: Path = _GPUS) -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls the GPUs that we may use; torch is not asked."""
    if _VISIBLE in environment:
        return [word.strip() for word in environment[_VISIBLE].split(",") if word.strip()]
    return [str(index) for index in range(len(list(gpus.iterdir())))] if gpus.is_dir() else []


def describe_end(code: int | None) -> str:
    """Why a worker is gone."""
    if code is not None and code < 0:
        text = f"its process was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            text += ": often memory; lower batch-size or max_parallel_jobs"
        return text
    return f"its process ended with exit code {code}"

"""The host agent: a process beside training that says what its host does, twice a second.

Started as `python -m train.host_agent` (train/agent_process.py). It ends when its parent has
ended, however that came, and then completes what the job's processes left of their timelines.
"""

import argparse
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contract.errors import KennelError
from contract.files import write_json
from contract.host import cpu_limit
from train.gpu_metrics import GpuMetrics
from train.host_metrics import HostMetrics
from train.profile_end import finish_profile
from train.profile_place import AGENT_NAME, ProfilePlace
from train.system_files import SystemFiles

log = logging.getLogger("train.host_agent")

_FIRST_SECONDS = 0.1  # the first tick does not wait for a long interval
_LOOK_SECONDS = 1.0  # how long a parent may be gone unnoticed
_REPORT_SECONDS = 60.0  # between two writings of agent.json
_SHORTEST_SECONDS = 0.05  # of rates: the system's own clock has ticks of 10 ms


class HostAgent:
    """Samples until `is_over`, then finishes the profile."""

    def __init__(self, place: ProfilePlace, interval_seconds: float) -> None:
        self._place, self._interval = place, interval_seconds
        self._host = HostMetrics()
        self._gpus = GpuMetrics(os.environ.get("CUDA_VISIBLE_DEVICES"))
        self._files = SystemFiles(place.system, place.node)
        self._started, self._began = time.time(), time.monotonic()
        self._last = self._reported = self._began
        self._num_ticks = self._num_missed = 0
        self._note = ""  # why nothing is written any more
        self._counts: dict[str, int] = {}

    def run(self, is_over: Callable[[float], bool]) -> None:
        """`is_over` waits for so many seconds and says whether the job has ended."""
        number = 0 if self._interval > _FIRST_SECONDS else 1  # of the tick; 0 is the early one
        due = self._began + (number * self._interval or _FIRST_SECONDS)
        while not is_over(due - time.monotonic()):
            self._tick()
            passed = max(number, int((time.monotonic() - self._began) / self._interval))
            self._num_missed += passed - number
            number = passed + 1
            due = self._began + number * self._interval
            if time.monotonic() - self._reported > _REPORT_SECONDS:
                self._report()
        if time.monotonic() - self._last > _SHORTEST_SECONDS:
            self._tick()
        self._files.close()
        try:
            self._counts = finish_profile(self._place)
        except (OSError, ValueError, KennelError) as error:
            self._switch_off(error)
        self._report(has_ended=True)

    def _tick(self) -> None:
        if self._note:
            return
        try:
            readings = [*self._host.read(), *self._gpus.read()]
            self._files.write(time.time(), readings)
        except OSError as error:
            self._switch_off(error)
        self._last = time.monotonic()
        self._num_ticks += 1

    def _switch_off(self, error: Exception) -> None:
        self._note = " ".join(f"{type(error).__name__}: {error}".split())
        log.warning("warning: the host agent is switched off, the job goes on: %s", self._note)

    def _report(self, *, has_ended: bool = False) -> None:
        """What measuring cost, beside what it measured."""
        self._reported = time.monotonic()
        seconds = self._reported - self._began
        timelines = [*self._place.closed_timelines(), *self._place.open_timelines()]
        facts: dict[str, Any] = {
            "host": self._place.node,
            "interval_ms": round(self._interval * 1000),
            "started": round(self._started, 3),
            "seconds": round(seconds, 3),
            "has_ended": has_ended,
            "ticks": self._num_ticks,
            "ticks_missed": self._num_missed,
            "cpu_seconds": round(time.process_time(), 3),
            "cpu_share": round(time.process_time() / seconds, 5),  # of one core
            "system_bytes": self._files.num_bytes,
            "timeline_bytes": sum(path.stat().st_size for path in timelines if path.exists()),
            "cores": self._host.num_cores,
            "cpu_limit": cpu_limit(),  # less than `cores` where a container's time is limited
            "gpus": self._gpus.num_gpus,
            "notes": [note for note in (self._note, self._gpus.note) if note],
            **self._counts,
        }
        try:
            write_json(self._place.system / AGENT_NAME, facts)
        except KennelError as error:
            self._switch_off(error)


class Parent:
    """Whether the process that started us still needs us."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self._pid, self._descriptor = pid, descriptor

    def is_over(self, seconds: float) -> bool:
        """Wait, at most so long; True as soon as it has ended, or says that the job has."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            limit = min(max(left, 0.0), _LOOK_SECONDS)
            # A word or the end of it. Loader workers may hold our pipe open for their parent,
            # so that its end alone would come late.
            if select.select([self._descriptor], [], [], limit)[0] or os.getppid() != self._pid:
                return True
            if left <= _LOOK_SECONDS:
                return False


def main(arguments: Sequence[str]) -> None:
    """Begin where the command line says."""
    parser = argparse.ArgumentParser(prog="python -m train.host_agent")
    parser.add_argument("--folder", type=Path, required=True, help="of the profile")
    parser.add_argument("--node", required=True, help="algo-N")
    parser.add_argument("--interval-ms", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True, help="a process id")
    given = parser.parse_args(arguments)
    # What ends the job reaches its processes; we stay until they have ended.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    place = ProfilePlace(folder=given.folder, node=given.node)
    agent = HostAgent(place, given.interval_ms / 1000)
    agent.run(Parent(given.parent, sys.stdin.fileno()).is_over)


if __name__ == "__main__":
    main(sys.argv[1:])

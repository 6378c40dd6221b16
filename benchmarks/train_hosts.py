"""Two processes on two processors: how much of twice the speed they reach, and what limits them.

The limit is measured: two jobs that know nothing of one another, each on a processor of its own,
at the same time. What they lose, the processors lose (one core's two threads, memory); what two
processes of one job lose beyond that is the price of working together (gloo, batch norm).
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.terminal import say
from benchmarks.train_data import ARCH, Data, part_of
from benchmarks.train_job import Job, our_command

NUM_LABELS = 16
EPOCHS = 2
ONE, THREADS, TOGETHER, APART = (
    "1 process, 1 processor",
    "1 process, 2 processors",
    "2 processes, 2 processors",
    "2 separate jobs, a processor each",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Pictures a second of the last epoch of fine-tuning."""

    rates: Mapping[str, float]

    def efficiency(self, name: str) -> float:
        """In shares of twice what one processor does alone."""
        return self.rates[name] / (2 * self.rates[ONE])


def measure_hosts(data: Data, folder: Path) -> Scaling | None:
    """None with fewer than two processors."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    channels = part_of(data.channels, folder / "pictures", NUM_LABELS)
    num_pictures = sum(1 for _ in channels["train"].rglob("*.*"))
    first, second = str(processors[0]), str(processors[1])
    both = f"{first},{second}"
    rates = {}
    for name, places, processes in (
        (ONE, [first], 1),
        (THREADS, [both], 1),
        (TOGETHER, [both], 2),
        (APART, [first, second], 1),
    ):
        jobs = [
            _start(channels, folder / f"job-{len(rates)}-{place}", place, processes)
            for place in places
        ]
        rates[name] = num_pictures * sum(1 / seconds for seconds in _seconds(jobs))
        say(f"{name}: {rates[name]:.2f} pictures/s")
    return Scaling(rates=rates)


def _start(channels: Mapping[str, Path], folder: Path, place: str, processes: int) -> Job:
    values = {
        "arch": ARCH,
        "epochs": EPOCHS,
        "unfreeze": "all",
        "quantize": "none",
        "processes-per-host": processes,
    }
    command = ["taskset", "-c", place, *our_command(channels, folder, values)]
    return Job("job", command, folder, {"KENNEL_CACHE_DIR": "off"})


def _seconds(jobs: Sequence[Job]) -> Iterator[float]:
    """Of training in the last epoch of each. They run at the same time."""
    mark = f"epoch {EPOCHS}/"
    try:
        for job in jobs:
            if len(jobs) == 1:
                job.run_until(mark)  # what follows is not measured
            else:
                job.run_to_end()
            line = next(line for _, line in job.lines if line.startswith(mark))
            yield float(line.split()[-2])  # the line ends in `12.3 s`
    finally:
        for job in jobs:
            job.stop()

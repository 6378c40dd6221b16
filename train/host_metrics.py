"""HostMetrics: what this host's processors, memory, disks and network do. The only psutil here."""

import os
import time
from collections.abc import Sequence
from typing import Any

import psutil

from train.system_files import Reading

_LOOPBACK = ("lo", "lo0")
# Linux counts a guest's time as its own, too.
_COUNTED_TWICE = ("guest", "guest_nice")
# What psutil says where a sandbox hides a part of /proc.
_UNSEEN = (OSError, RuntimeError, psutil.Error)


class HostMetrics:
    """Rates are those since the last reading."""

    def __init__(self) -> None:
        self._cores = visible_cores(psutil.cpu_count() or 1)
        self._cpus, self._at = self._times(), time.monotonic()
        self._disk, self._network = _disk(), _network()

    @property
    def num_cores(self) -> int:
        """Those that this process may run on."""
        return len(self._cores)

    def read(self) -> list[Reading]:
        """Everything once: two lines a core, one of memory, three of disks, four of networks."""
        now, cpus = time.monotonic(), self._times()
        disk, network = _disk(), _network()
        seconds = max(now - self._at, 1e-9)
        readings = []
        for core, before, after in zip(self._cores, self._cpus, cpus, strict=False):
            busy, waits = shares(before, after)
            readings.append(Reading("cpu", f"cpu{core}", "CPUUtilization", busy))
            readings.append(Reading("cpu", f"cpu{core}", "I/OWaitPercentage", waits))
        used = psutil.virtual_memory().percent
        readings.append(Reading("memory", "MemoryUsedPercent", "", used))
        readings += _disk_rates(self._disk, disk, seconds)
        readings += _network_rates(self._network, network, seconds)
        self._at, self._cpus, self._disk, self._network = now, cpus, disk, network
        return readings

    def _times(self) -> list[dict[str, float]]:
        every = [one._asdict() for one in psutil.cpu_times(percpu=True)]
        return [every[core] for core in self._cores if core < len(every)]


def visible_cores(num_cores: int) -> Sequence[int]:
    """Cores of this host that we may run on: a container may be given a few of them.

    A limit on time alone (docker --cpus) leaves all cores visible, as in /proc/stat.
    """
    if not hasattr(os, "sched_getaffinity"):  # macOS
        return range(num_cores)
    ours = sorted(os.sched_getaffinity(0))
    # With a core offline the numbers of /proc/stat's lines are not those of its places.
    return ours if ours and ours[-1] < num_cores else range(num_cores)


def shares(before: dict[str, float], after: dict[str, float]) -> tuple[float, float]:
    """How long a core worked and how long it waited for a disk, in percent of the time between."""
    spent = {name: max(0.0, after[name] - before.get(name, 0.0)) for name in after}
    total = sum(seconds for name, seconds in spent.items() if name not in _COUNTED_TWICE)
    if total <= 0:  # less than one tick of the system's clock
        return 0.0, 0.0
    waits = spent.get("iowait", 0.0)
    busy = total - spent["idle"] - waits
    return max(0.0, 100 * busy / total), 100 * waits / total


def _disk() -> Any:
    """None: this host has none that we may see."""
    try:
        return psutil.disk_io_counters(nowrap=False)
    except _UNSEEN:
        return None


def _disk_rates(before: Any, after: Any, seconds: float) -> list[Reading]:
    reads = writes = operations = 0
    if before is not None and after is not None:
        reads = after.read_bytes - before.read_bytes
        writes = after.write_bytes - before.write_bytes
        operations = after.read_count + after.write_count - before.read_count - before.write_count
    return [
        Reading("i/o", "IOPS", "", max(0, operations) / seconds),
        Reading("i/o", "ReadThroughputInBytesPerSecond", "", max(0, reads) / seconds),
        Reading("i/o", "WriteThroughputInBytesPerSecond", "", max(0, writes) / seconds),
    ]


def _network() -> tuple[int, int]:
    """Bytes received and sent, without what processes of this host send one another."""
    try:
        every = psutil.net_io_counters(pernic=True, nowrap=False)
    except _UNSEEN:
        return 0, 0
    ours = [one for name, one in every.items() if name not in _LOOPBACK]
    return sum(one.bytes_recv for one in ours), sum(one.bytes_sent for one in ours)


def _network_rates(
    before: tuple[int, int], after: tuple[int, int], seconds: float
) -> list[Reading]:
    """All of it is the job's: a container sees its own network only. SageMaker's part is unseen."""
    readings = []
    for place, name in enumerate(("ReceiveBytesPerSecond", "TransmitBytesPerSecond")):
        rate = max(0, after[place] - before[place]) / seconds
        readings.append(Reading("network", name, "Algorithm", rate))
        readings.append(Reading("network", name, "Platform", 0.0))
    return readings

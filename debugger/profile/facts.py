"""Facts: a profile as the rules look at it; computed once for all of them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debugger.profile.data import CPU, CPU_WAIT, GPU, NodeMetrics, Profile, Series
from debugger.profile.intervals import Intervals, single, union
from debugger.profile.phases import EVAL, TRAIN, Phases
from debugger.profile.samples import highest_of, mean_of
from debugger.profile.steps import Steps, read_steps
from debugger.profile.timeline_files import host_of

_EMPTY = NodeMetrics()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A profile with its steps found."""

    profile: Profile
    index: Phases
    steps: tuple[Steps, ...]  # of every process and mode
    training: tuple[Steps, ...]  # those that learn, of every process
    loop: tuple[float, float] | None  # from the first training step to the end of the last
    hosts: tuple[str, ...]  # with metrics or a timeline, algo-2 before algo-10
    # By host, of those that report such a thing, percent: the mean of all cores, of all GPUs, and
    # the core that waits most for I/O.
    cpu: Mapping[str, Series]
    gpu: Mapping[str, Series]
    io_wait: Mapping[str, Series]

    @classmethod
    def of(cls, profile: Profile) -> "Facts":
        """Look once over all events."""
        index = Phases.of(profile.events)
        steps = tuple(read_steps(index))
        training = tuple(one for one in steps if one.mode == TRAIN) or tuple(
            one for one in steps if one.mode != EVAL
        )
        found = {*profile.system, *(host_of(node) for node in index.nodes)}
        hosts = tuple(sorted(found, key=_natural))
        return cls(
            profile=profile,
            index=index,
            steps=steps,
            training=training,
            loop=_extent(training),
            hosts=hosts,
            cpu=_by_host(profile, hosts, CPU, mean_of),
            gpu=_by_host(profile, hosts, GPU, mean_of),
            io_wait=_by_host(profile, hosts, CPU_WAIT, highest_of),
        )

    @property
    def analysed(self) -> tuple[float, float]:
        """What use is judged by: the training loop, or without steps the whole job."""
        return self.loop or (self.profile.started_at, self.profile.ended_at)

    @property
    def analysed_interval(self) -> Intervals:
        """The same as a set of moments."""
        return single(*self.analysed)

    @property
    def has_gpu(self) -> bool:
        """True when any host reported one."""
        return bool(self.gpu)

    def metrics(self, host: str) -> NodeMetrics:
        """What its agent saw; nothing where there was none."""
        return self.profile.system.get(host, _EMPTY)

    def series(self, host: str, metric: str) -> Mapping[str, Series]:
        """By name; empty where the host has none."""
        return self.metrics(host).of(metric)

    def num_cores(self, host: str) -> int:
        """Cores that its agent reported, or as many as a container may use; 0 unknown."""
        num = len(self.series(host, CPU))
        limit = self.profile.cpu_limits.get(host)
        return num if limit is None else min(num, max(1, round(limit)))

    def busy_cores(self, host: str, percent: float) -> float:
        """How many cores it takes to use that much of all that the agent reported."""
        return percent / 100 * len(self.series(host, CPU))

    def processes(self, host: str) -> tuple[Steps, ...]:
        """Those that train there."""
        return tuple(one for one in self.training if one.host == host)

    def is_analysed(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which samples belong to what is analysed. A sample speaks for what was before it."""
        start, end = self.analysed
        result: NDArray[np.bool_] = (times > start) & (times <= end)
        return result if self.loop else (times >= start) & (times <= end)

    def window_of(self, time: float, window_us: int) -> int:
        """The number of AWS's window that holds a moment."""
        return max(0, int((time - self.profile.first_file_at) * 1e6 // max(1, window_us)))

    def during(self, *phases: str) -> Intervals:
        """When any process was in one of these phases."""
        spans = [self.index.spans(phase) for phase in phases]
        return union(
            np.concatenate([starts for starts, _ in spans]),
            np.concatenate([ends for _, ends in spans]),
        )


def _by_host(
    profile: Profile,
    hosts: tuple[str, ...],
    metric: str,
    combine: Callable[[Mapping[str, Series]], Series | None],
) -> dict[str, Series]:
    every = ((host, profile.system.get(host, _EMPTY).of(metric)) for host in hosts)
    found = ((host, combine(named)) for host, named in every)
    return {host: series for host, series in found if series is not None}


def _extent(steps: tuple[Steps, ...]) -> tuple[float, float] | None:
    if not steps:
        return None
    return min(float(one.starts[0]) for one in steps), max(float(one.ends.max()) for one in steps)


def _natural(host: str) -> tuple[str, int, str]:
    match = re.fullmatch(r"(.*?)(\d+)", host)
    return (match[1], int(match[2]), host) if match else (host, 0, host)

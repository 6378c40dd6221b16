"""How a process gets its batches, and what more loader workers would change.

The forecast is a plain model of one step. A step waits until its batch is made. W workers make a
batch every `load / W` seconds; meanwhile the network computes for `compute` seconds. Both need
`work` seconds of the cores, and the host has no more than it has:

    step(W) = max(compute, load / W, work / cores)
    step(0) = compute + load

Our training writes down what its processes had of the cores. Where a timeline does not say, `work`
is `load + compute x cores in use`, and that is what other programs use, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from debugger.profile import summary
from debugger.profile.data import FloatArray
from debugger.profile.facts import Facts
from debugger.profile.intervals import Intervals, difference, union, within
from debugger.profile.phases import DATA_WAIT, EPOCH, LOADER_START, LOADER_WORKER, STEP_MARK
from debugger.profile.samples import mean_during
from debugger.profile.steps import Steps

_ENOUGH = 1.02  # a number of workers is as good as the best one when steps take 2 % more


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """One process that trains from a loader."""

    steps: Steps
    num_workers: int | None  # as configured; None: the timeline does not say
    pin_memory: bool | None
    pids: tuple[int, ...]  # of the processes that made its batches
    cores: int  # of its host, 0 unknown
    processes: int  # that train on its host
    waits: FloatArray  # (N,) seconds that each step waited
    loads: FloatArray  # (M,) seconds that each batch took where it was made; empty: not recorded
    waiting: Intervals  # when it waited
    starting: float  # seconds of all waits that went into the start of workers
    busy_cores: float | None  # of the host while it waits, on average
    used_cores: float | None  # ... and while it computes
    step_cpu: float | None  # CPU seconds of the process itself in a step; None: not recorded
    load_cpu: float | None  # ... of a worker that makes a batch

    @property
    def knows_workers(self) -> bool:
        """False where the timeline says nothing of them."""
        return self.num_workers is not None or bool(self.pids)

    @property
    def workers(self) -> int:
        """As configured, else those that were seen."""
        return len(self.pids) if self.num_workers is None else self.num_workers

    @property
    def step_seconds(self) -> float:
        """The mean step, wait included."""
        return float(self.steps.seconds.mean())

    @property
    def own_seconds(self) -> float:
        """The mean step without those parts in which several processes wait for the slowest."""
        return float(self.steps.own.mean())

    @property
    def wait_percent(self) -> float:
        """Of the time that steps take."""
        total = self.steps.total()
        return 100.0 * float(self.waits.sum()) / total if total > 0 else 0.0

    @property
    def starved_percent(self) -> float:
        """Steps that waited for more than a tenth of their time."""
        return 100.0 * float(np.mean(self.waits > 0.1 * self.steps.seconds))

    @property
    def load_seconds(self) -> float | None:
        """One process making one batch; None when nothing tells."""
        if len(self.loads):
            return float(self.loads.mean())
        if not self.workers:
            return float(self.waits.mean())
        # Workers that are waited for make batches all the time.
        return self.workers * self.step_seconds if self.wait_percent > 1 else None

    @property
    def workers_busy_percent(self) -> float | None:
        """The share of the time of steps in which a worker, on average, makes a batch; without
        the time in which workers start."""
        if not self.workers or not len(self.loads):
            return None
        seconds = max(self.steps.total() - self.starting, 1e-9)
        return min(100.0, 100.0 * float(self.loads.sum()) / (self.workers * seconds))

    @property
    def start_percent(self) -> float:
        """How much of its waiting is for workers to start, at the beginning of epochs."""
        total = float(self.waits.sum())
        return 100.0 * self.starting / total if total > 0 else 0.0

    def forecast(self, workers: int) -> float | None:
        """Seconds of a step with that many workers; None when nothing tells."""
        load = self.load_seconds
        if load is None or not self.knows_workers:
            return None
        compute = max(0.0, self.step_seconds - float(self.waits.mean()))
        if workers == 0:
            return compute + load
        cores = max(1, self.cores // max(1, self.processes))
        work = self._own_work
        if work is None:
            used = (self.used_cores or 1.0) / max(1, self.processes)
            work = load + compute * min(cores, max(1.0, used))
        return max(compute, load / workers, work / cores)

    @property
    def _own_work(self) -> float | None:
        """CPU seconds that a step and its batch take, of this job alone; None: not recorded."""
        if self.step_cpu is None or not self.workers:  # without workers it makes them itself
            return self.step_cpu
        return None if self.load_cpu is None else self.step_cpu + self.load_cpu

    def better_workers(self) -> int:
        """The smallest number that is as good as any; the present one when none is better."""
        most = max(1, self.cores // max(1, self.processes))
        found = {workers: self.forecast(workers) for workers in range(self.workers + 1, most + 1)}
        times = {workers: seconds for workers, seconds in found.items() if seconds is not None}
        best = min(times.values(), default=self.step_seconds)
        if best >= self.step_seconds:
            return self.workers
        return min(workers for workers, seconds in times.items() if seconds <= best * _ENOUGH)


def gain_of(loading: Sequence[Loading], workers: int) -> float:
    """Percent of a step of the whole job that is saved with so many workers in each process.

    Those of several processes that are not the slowest save nothing: they wait anyway.
    """
    slowest = max(one.own_seconds for one in loading)
    after = 0.0
    for one in loading:
        forecast = one.forecast(workers)
        saved = 0.0 if forecast is None else max(0.0, one.step_seconds - forecast)
        after = max(after, one.own_seconds - saved)
    longest = max(one.step_seconds for one in loading)
    return 100.0 * max(0.0, slowest - after) / longest if longest > 0 else 0.0


def gain_without_waits(loading: Sequence[Loading]) -> float:
    """Percent of a step of the whole job that is saved when no process waits for data."""
    slowest = max(one.own_seconds for one in loading)
    after = max(one.own_seconds - float(one.waits.mean()) for one in loading)
    longest = max(one.step_seconds for one in loading)
    return 100.0 * max(0.0, slowest - after) / longest if longest > 0 else 0.0


def read_loading(facts: Facts) -> tuple[Loading, ...]:
    """Of every process whose steps wait for batches, those that wait most first."""
    found = [_loading(facts, steps) for steps in facts.training if _has_loader(facts, steps)]
    return tuple(sorted(found, key=lambda one: -one.wait_percent))


def _has_loader(facts: Facts, steps: Steps) -> bool:
    """Our own training says when a loader starts. Its steps that take features from memory have
    waits, too, but nobody to wait for."""
    index, node = facts.index, steps.node
    told = len(index.places(LOADER_START, node)) or len(index.places(LOADER_WORKER, node))
    is_ours = len(index.places(EPOCH, node)) > 0
    return summary.WAIT in steps.parts and (bool(told) or not is_ours)


def _loading(facts: Facts, steps: Steps) -> Loading:
    index, node, host = facts.index, steps.node, steps.host
    start, end = float(steps.starts[0]), float(steps.ends.max())
    waiting = within(union(*index.spans(DATA_WAIT, node)), start, end)
    computing = difference(union(steps.starts, steps.ends), waiting)
    cpu = facts.cpu.get(host)
    started = index.places(LOADER_START, node)
    arguments: Any = facts.profile.events.arguments[int(started[-1])] if len(started) else {}
    made = index.places(LOADER_WORKER, node)
    workers = arguments.get("num_workers")
    return Loading(
        steps=steps,
        num_workers=None if workers is None else int(workers),
        pin_memory=arguments.get("pin_memory"),
        pids=_pids(facts, steps),
        cores=facts.num_cores(host),
        processes=len(facts.processes(host)),
        waits=steps.parts[summary.WAIT],
        loads=facts.profile.events.seconds[made],
        waiting=waiting,
        starting=_starting(facts, steps),
        busy_cores=_cores(facts, host, mean_during(cpu, waiting)),
        used_cores=_cores(facts, host, mean_during(cpu, computing)),
        step_cpu=_step_cpu(facts, node),
        load_cpu=_load_cpu(facts, node),
    )


def _step_cpu(facts: Facts, node: str) -> float | None:
    """Our training writes the sums of an epoch beside it."""
    epochs = [facts.profile.events.arguments[one] for one in facts.index.places(EPOCH, node)]
    steps = sum(_number(one.get("steps")) for one in epochs)
    seconds = sum(_number(one.get("steps_cpu_seconds")) for one in epochs)
    return seconds / steps if steps > 0 and seconds > 0 else None


def _load_cpu(facts: Facts, node: str) -> float | None:
    made = [facts.profile.events.arguments[one] for one in facts.index.places(LOADER_WORKER, node)]
    seconds = [_number(one["cpu_us"]) / 1e6 for one in made if "cpu_us" in one]
    return sum(seconds) / len(seconds) if seconds else None


def _number(value: object) -> float:
    """Files of others may hold anything."""
    return float(value) if isinstance(value, int | float) else 0.0


def _cores(facts: Facts, host: str, percent: float | None) -> float | None:
    return None if percent is None else facts.busy_cores(host, percent)


def _starting(facts: Facts, steps: Steps) -> float:
    """What steps waited more than usual where a loader began."""
    starts, ends = facts.index.spans(LOADER_START, steps.node)
    waits = steps.parts[summary.WAIT]
    place = np.searchsorted(steps.starts, ends, side="right") - 1
    inside = (place >= 0) & (starts < steps.ends[np.maximum(place, 0)])
    first = np.unique(place[inside])
    return float(np.maximum(waits[first] - np.median(waits), 0.0).sum())


def _pids(facts: Facts, steps: Steps) -> tuple[int, ...]:
    """Of the workers; without them, of those that delivered and are not the process itself."""
    index, pids = facts.index, facts.profile.events.pids
    made = index.places(LOADER_WORKER, steps.node)
    if len(made):
        return tuple(np.unique(pids[made]).tolist())
    own = pids[index.places(f"{STEP_MARK}.{steps.mode}", steps.node)]
    found = np.setdiff1d(pids[index.places(DATA_WAIT, steps.node)], own)
    return tuple(found[found >= 0].tolist())

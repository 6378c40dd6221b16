"""CPUBottleneck and IOBottleneck as AWS computes them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debugger.profile.aws.aggregates import Aggregates
from debugger.profile.aws.windows import each_series, every_time, to_micros, windows_of
from debugger.profile.data import CPU, CPU_WAIT, GPU, FloatArray, Profile
from debugger.profile.parameters import CpuBottleneck, IoBottleneck
from debugger.profile.samples import TICK_SECONDS
from debugger.profile.verdict import Verdict, replayed


def replay_cpu_bottleneck(profile: Profile, parameters: CpuBottleneck) -> Verdict:
    """A core above `cpu_threshold` while a GPU is below `gpu_threshold`, on any hosts."""
    return _replay(profile, parameters, CPU)


def replay_io_bottleneck(profile: Profile, parameters: IoBottleneck) -> Verdict:
    """The same with the time that a core waits for I/O."""
    return _replay(profile, parameters, CPU_WAIT)


def _replay(profile: Profile, parameters: CpuBottleneck | IoBottleneck, metric: str) -> Verdict:
    snapshots = _snapshots(every_time(profile))
    low = _count(profile, GPU, snapshots, lambda values: values < parameters.gpu_threshold)
    busy = _count(profile, metric, snapshots, lambda values: values > parameters.busy_threshold)
    is_bottleneck = (low > 0) & (busy > 0)
    aggregates, triggered, more = Aggregates(), 0, dict[str, Any]()
    seen = found = 0
    for window in windows_of(profile, parameters.scan_interval_us):
        start, seen = seen, int(np.searchsorted(snapshots, window.end))
        moments = snapshots[start:seen][is_bottleneck[start:seen]]
        found += len(moments)
        if seen > parameters.patience and 100 * found / seen > parameters.threshold:
            triggered += 1
            aggregates.add(profile.events, _overlaps(profile, window.start, window.end, moments))
            more = aggregates.details(swapped=True) if len(moments) else more
    bottlenecks = {
        repr(float(snapshots[place])): {"GPUs": int(low[place]), "CPUs": int(busy[place])}
        for place in np.flatnonzero(is_bottleneck)
    }
    details = {"low_gpu_utilization": int((low > 0).sum()), "bottlenecks": bottlenecks, **more}
    return replayed(triggered, found, seen, details, parameters.patience)


def _snapshots(times: FloatArray) -> FloatArray:
    """AWS begins a new one where a line is more than 20 ms from the first of the last one."""
    firsts: list[float] = []
    for time in times.tolist():
        if not firsts or time - firsts[-1] > TICK_SECONDS:
            firsts.append(time)
    return np.array(firsts)


def _count(
    profile: Profile,
    metric: str,
    snapshots: FloatArray,
    is_beyond: Callable[[FloatArray], NDArray[np.bool_]],
) -> NDArray[np.intp]:
    """How many values of a metric are beyond the limit, by snapshot."""
    counts = np.zeros(len(snapshots), dtype=np.intp)
    for _, _, series in each_series(profile, metric):
        times = series.times[is_beyond(series.values)]
        places = np.searchsorted(snapshots, times, side="right") - 1
        np.add.at(counts, places, 1)
    return counts


def _overlaps(profile: Profile, start: float, end: float, moments: FloatArray) -> NDArray[np.int64]:
    """How many of the moments each event that begins in the window lies around."""
    events = profile.events
    counts = np.zeros(len(events), dtype=np.int64)
    first, last = np.searchsorted(events.starts, [start, end], side="left")
    starts = to_micros(events.starts[first:last])
    ends = starts + to_micros(events.seconds[first:last])
    micros = moments * 1e6
    counts[first:last] = np.searchsorted(micros, ends, side="left") - np.searchsorted(
        micros, starts, side="right"
    )
    return np.maximum(counts, 0)

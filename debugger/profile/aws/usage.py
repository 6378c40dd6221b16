"""Rules over the use of GPUs and CPUs, as AWS computes them."""

from collections import defaultdict
from typing import Any

import numpy as np

from debugger.profile.aws.windows import each_series, num_until, summed, windows_of
from debugger.profile.data import CPU, GPU, GPU_MEMORY, FloatArray, Profile
from debugger.profile.numbers import box, quantiles
from debugger.profile.parameters import (
    BatchSize,
    GpuMemoryIncrease,
    LoadBalancing,
    LowGpuUtilization,
)
from debugger.profile.verdict import Verdict, replayed

_BINS = np.arange(0, 100, 2)  # 49 bins: what is above 98 falls out
_Details = dict[str, Any]


def replay_low_gpu_utilization(profile: Profile, parameters: LowGpuUtilization) -> Verdict:
    """Once a window and GPU: the last `window` values are low, or fluctuate."""
    details, triggered, datapoints = _details(), 0, 0
    windows = windows_of(profile, parameters.scan_interval_us)
    for node, name, series in each_series(profile, GPU):
        for window, seen in zip(windows, num_until(series.times, windows), strict=True):
            datapoints = int(seen)
            if seen <= parameters.patience:
                continue
            values = series.values[:seen]
            low, high = np.quantile(values[-parameters.window :], [0.05, 0.95])
            is_low = high < parameters.threshold_p95
            fluctuates = high > parameters.threshold_p95 and low < parameters.threshold_p5
            if is_low or fluctuates:
                triggered += 1
                use = {"gpu_max": float(values.max()), "gpu_95": float(high), "gpu_5": float(low)}
                details[node][name] = {**use, **box(values)}
                _note_time(details, window.start_us)
    return replayed(triggered, triggered, datapoints, details, parameters.patience)


def replay_gpu_memory_increase(profile: Profile, parameters: GpuMemoryIncrease) -> Verdict:
    """Once a sample: the mean of the last w values is above that of w - 1 values, two older."""
    details, triggered, datapoints, width = _details(), 0, 0, parameters.window
    windows = windows_of(profile, parameters.scan_interval_us)
    for node, name, series in each_series(profile, GPU_MEMORY):
        values = series.values
        datapoints = len(values)
        increases = _increases(values, width)
        counts = np.arange(1, len(values) + 1)
        fires = (counts > width + 1) & (counts > parameters.patience)
        places = np.flatnonzero(fires & (increases > parameters.increase))
        if not len(places):
            continue
        triggered += len(places)
        last = int(places[-1])
        seen = values[: last + 1]
        use = {"increase": float(increases[last]), "gpu_max": float(seen.max())}
        details[node][name] = {**use, **box(seen, 5)}
        window = np.searchsorted(num_until(series.times, windows), last, side="right")
        _note_time(details, windows[int(window)].start_us)
    return replayed(triggered, triggered, datapoints, details, parameters.patience)


def _increases(values: FloatArray, width: int) -> FloatArray:
    """At each sample; meaningless for the first ones."""
    increases = np.zeros(len(values))
    for place in range(width + 1, len(values)):
        end = place + 1
        older = values[end - width - 1 : end - 2]
        increases[place] = np.mean(values[end - width : end]) - np.mean(older)
    return increases


def replay_batch_size(profile: Profile, parameters: BatchSize) -> Verdict:
    """Once a window and GPU: CPU, GPU and its memory all stay low.

    The whiskers of the memory reach from its own p75, by the distance to the GPU's p25, and the
    time of the last firing is always the job's start.
    """
    details, triggered, datapoints = _details(), 0, 0
    windows = windows_of(profile, parameters.scan_interval_us)
    for node, metrics in profile.system.items():
        cores = metrics.of(CPU)
        if not cores:
            continue
        cpu = summed(metrics, CPU) / len(cores)
        times = next(iter(cores.values())).times
        for window, seen in zip(windows, num_until(times, windows), strict=True):
            datapoints = int(seen)
            if seen <= max(parameters.window, parameters.patience):
                continue
            if not _p95(cpu[:seen], parameters) < parameters.cpu_threshold_p95:
                continue
            for name, series in metrics.of(GPU).items():
                gpu = series.values[series.times < window.end]
                memory = metrics.of(GPU_MEMORY)[name]
                full = memory.values[memory.times < window.end]
                if len(gpu) <= parameters.window or not _is_idle(gpu, full, parameters):
                    continue
                triggered += 1
                details[node]["cpu"] = box(cpu[:seen])
                details[node][name] = box(gpu)
                details[node][f"{name}_memory"] = _memory_box(full, gpu)
                _note_time(details, windows[0].start_us)
    return replayed(triggered, triggered, datapoints, details, parameters.patience)


def _p95(values: FloatArray, parameters: BatchSize) -> float:
    return float(np.quantile(values[-parameters.window :], 0.95))


def _is_idle(gpu: FloatArray, memory: FloatArray, parameters: BatchSize) -> bool:
    is_low = _p95(gpu, parameters) < parameters.gpu_threshold_p95
    return is_low and _p95(memory, parameters) < parameters.gpu_memory_threshold_p95


def _memory_box(memory: FloatArray, gpu: FloatArray) -> dict[str, float]:
    found = quantiles(memory, 25, 50, 75, 95)
    reach = 1.5 * (found["p75"] - float(np.quantile(gpu, 0.25)))
    upper = min(found["p75"] + reach, float(memory.max()))
    return {**found, "upper": upper, "lower": max(found["p25"] - reach, float(memory.min()))}


def replay_load_balancing(profile: Profile, parameters: LoadBalancing) -> Verdict:
    """Never fires: the last GPU is compared with itself alone."""
    details: _Details = {}
    datapoints = 0
    for node, name, series in each_series(profile, GPU):
        datapoints = len(series.values)
        if datapoints > parameters.patience:
            counts, _ = np.histogram(series.values, bins=_BINS)
            known = details.setdefault(node, {"workloads": {}, "distances": {}})
            known["workloads"][name] = counts.tolist()
    return replayed(0, 0, datapoints, details, parameters.patience)


def _details() -> Any:
    return defaultdict(dict)


def _note_time(details: _Details, micros: int) -> None:
    """AWS's notebook reads it beside the nodes."""
    details["last_timestamp"] = micros

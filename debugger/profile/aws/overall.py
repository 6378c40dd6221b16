"""OverallSystemUsage and OverallFrameworkMetrics as AWS computes them. They never fire."""

from typing import Any

import numpy as np

from debugger.profile.aws.aggregates import Aggregates, bucket_of
from debugger.profile.aws.windows import summed, to_micros
from debugger.profile.data import CPU, CPU_WAIT, GPU, GPU_MEMORY, MEMORY, NETWORK, Profile
from debugger.profile.numbers import shares
from debugger.profile.parameters import Parameters
from debugger.profile.verdict import Verdict, replayed

# AWS's word, our metrics, and whether the sum is divided by the number of cores or of GPUs.
_METRICS = (
    ("Network", NETWORK, ""),
    ("GPU", (GPU,), GPU),
    ("CPU", (CPU,), CPU),
    ("CPU memory", (MEMORY,), ""),
    ("GPU memory", (GPU_MEMORY,), GPU),
    ("I/O", (CPU_WAIT,), CPU),
)


def replay_overall_system_usage(profile: Profile, _parameters: Parameters) -> Verdict:
    """Sums of a host over the number of distinct names on all hosts."""
    numbers = {
        metric: len({name for node in profile.system.values() for name in node.of(metric)})
        for metric in (CPU, GPU)
    }
    details: dict[str, Any] = {}
    for word, metrics, divided in _METRICS:
        details[word] = {}
        for node, found in profile.system.items():
            values = summed(found, *metrics)
            if len(values):
                details[word][node] = _usage(values / numbers.get(divided, 1))
    first = next(iter(profile.system.values()), None)
    datapoints = len(summed(first, CPU)) if first else 0
    return replayed(0, 0, datapoints, details, 0)


def _usage(values: "np.ndarray[Any, np.dtype[np.float64]]") -> dict[str, float]:
    found = {
        "max": values.max(), "p99": np.quantile(values, 0.99), "p95": np.quantile(values, 0.95),
        "p50": np.quantile(values, 0.5), "min": values.min(),
    }  # fmt: skip
    return {name: round(max(0.0, float(one)), 2) for name, one in found.items()}


def replay_overall_framework_metrics(profile: Profile, _parameters: Parameters) -> Verdict:
    """Shares of phases; `others` is computed from a sum that holds the `others` before it."""
    events, aggregates = profile.events, Aggregates()
    aggregates.add(events, np.ones(len(events), dtype=np.int64))
    details = aggregates.details(swapped=False)
    steps = _steps_and_others(profile)
    details["phase"] = shares(steps)
    return replayed(0, 0, 0, details, -1 if len(events) else 0)


def _steps_and_others(profile: Profile) -> dict[str, float]:
    """Microseconds, event by event as AWS adds them."""
    events = profile.events
    starts, lengths = to_micros(events.starts), to_micros(events.seconds)
    totals: dict[str, float] = {}
    gpu_phases: set[str] = set()
    start = end = None
    for place, phase in enumerate(events.phases.tolist()):
        bucket = bucket_of(phase)
        if bucket == "gpu":
            gpu_phases.add(phase)
        if bucket != "step":
            continue
        if "step_num" in events.arguments[place]:
            start = int(starts[place]) if start is None else start
            end = int(starts[place] + lengths[place])
        totals[phase] = totals.get(phase, 0) + int(lengths[place])
        if start is not None and end is not None:
            totals["others"] = (end - start) - sum(totals.values()) / max(1, len(gpu_phases))
    return totals

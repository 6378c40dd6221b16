"""OverallSystemUsage and OverallFrameworkMetrics: statistics; they never fire."""

from typing import Any

import numpy as np

from debugger.profile import phases
from debugger.profile.aws.aggregates import Aggregates
from debugger.profile.data import CPU, CPU_WAIT, GPU, GPU_MEMORY, IO, MEMORY, NETWORK, FloatArray
from debugger.profile.facts import Facts
from debugger.profile.intervals import join, seconds_of, single, union, within
from debugger.profile.numbers import in_percent, plural, shares
from debugger.profile.parameters import Parameters
from debugger.profile.samples import at_once
from debugger.profile.time_shares import read_shares
from debugger.profile.verdict import State, Verdict, no_metric

# AWS's word, our metrics, and whether all cores or GPUs of a host are averaged or summed.
_METRICS = (
    ("Network", NETWORK, "sum"),
    ("GPU", (GPU,), "mean"),
    ("CPU", (CPU,), "mean"),
    ("CPU memory", (MEMORY,), "mean"),
    ("GPU memory", (GPU_MEMORY,), "mean"),
    ("I/O", (CPU_WAIT,), "mean"),
)
# Ours: what AWS's agent writes and its report leaves out.
_MORE = (("IOPS", IO[:1], "sum"), ("Disk read", IO[1:2], "sum"), ("Disk write", IO[2:], "sum"))
# They hold others, which would count twice.
_CONTAINERS = (phases.EPOCH,)


def judge_overall_system_usage(facts: Facts, _parameters: Parameters) -> Verdict:
    """Statistics of each host over the whole job.

    AWS divides by the cores or GPUs of all hosts together, where their numbers differ; here each
    host by its own. `mean`, and the disks, are ours.
    """
    if not facts.profile.system:
        return no_metric("system metrics", "no host agent wrote any")
    details: dict[str, Any] = {word: {} for word, *_ in _METRICS}
    for word, metrics, how in (*_METRICS, *_MORE):
        for host in facts.hosts:
            values = _values(facts, host, metrics, how)
            if len(values):
                details.setdefault(word, {})[host] = _usage(values)
    num = max(len(series.times) for series in facts.cpu.values()) if facts.cpu else 0
    cpu = [f"{host} {in_percent(one['mean'])}" for host, one in details["CPU"].items()]
    sentence = f"{plural(num, 'sample')} a core; CPU use on average: {', '.join(cpu[:4])}"
    return Verdict(state=State.FINE, sentence=sentence, datapoints=num, details=details)


def _values(facts: Facts, host: str, metrics: tuple[str, ...], how: str) -> FloatArray:
    named = {
        f"{metric} {name}": series
        for metric in metrics
        for name, series in facts.series(host, metric).items()
    }
    _, values = at_once(named)
    if not len(values):
        return np.empty(0)
    total: FloatArray = np.nansum(values, axis=1)
    return total if how == "sum" else total / np.isfinite(values).sum(axis=1)


def _usage(values: FloatArray) -> dict[str, float]:
    p50, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99])
    found = {
        "max": values.max(), "p99": p99, "p95": p95, "p50": p50, "min": values.min(),
        "mean": values.mean(),
    }  # fmt: skip
    return {name: round(max(0.0, float(one)), 2) for name, one in found.items()}


def judge_overall_framework_metrics(facts: Facts, _parameters: Parameters) -> Verdict:
    """Where the time of the timeline goes.

    AWS's `others` is computed from a sum that holds the `others` before it, so that it comes to
    about half, sometimes below zero. Here it is the time outside of steps, each moment once, and
    all of `phase` sums to 100. Passes are known without submodules, too. `parts` are ours:
    exclusive shares of the whole job.
    """
    events = facts.profile.events
    if not len(events):
        return no_metric("timeline", "no process wrote one")
    kept = np.ones(len(events), dtype=np.int64)
    for name in _CONTAINERS:
        kept[facts.index.places(name)] = 0
    aggregates = Aggregates()
    aggregates.add(events, kept)
    details = aggregates.details(swapped=False)
    details["phase"] = _steps_and_others(facts)
    passes = {
        "Forward pass": _seconds(facts, phases.FORWARD),
        "Backward pass": _seconds(facts, phases.BACKWARD),
    }
    if "forward_backward" not in details and all(passes.values()):
        details["forward_backward"] = shares(passes)
    parts = shares(read_shares(facts))
    details["parts"] = parts
    most = max(parts, key=lambda part: parts[part], default="")
    sentence = f"{plural(len(events), 'event')}"
    if most:
        sentence += f"; most of the job's time, {in_percent(parts[most])}, is {most}"
    return Verdict(state=State.FINE, sentence=sentence, datapoints=len(events), details=details)


def _seconds(facts: Facts, phase: str) -> float:
    return float(facts.profile.events.seconds[facts.index.places(phase)].sum())


def _steps_and_others(facts: Facts) -> dict[str, float]:
    """Percent of the time from a process's first step to the end of its last, summed."""
    totals: dict[str, float] = {}
    others = 0.0
    for node in {one.node for one in facts.steps}:
        spans = {name: union(*facts.index.spans(name, node)) for name in facts.index.step_phases}
        known = join(*spans.values())
        others += seconds_of(single(float(known[0, 0]), float(known[-1, 1]))) - seconds_of(known)
        before = known[:0]
        for name, found in spans.items():
            both = join(before, within(found, float(known[0, 0]), float(known[-1, 1])))
            totals[name] = totals.get(name, 0.0) + seconds_of(both) - seconds_of(before)
            before = both
    return shares({**totals, "others": max(0.0, others)}) if totals else {}

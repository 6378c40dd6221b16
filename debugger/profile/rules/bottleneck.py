"""What CPUBottleneck and IOBottleneck have in common: a GPU idles while cores are taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.rule_result import Finding
from debugger.profile.aws.aggregates import Aggregates
from debugger.profile.data import GPU, Events, FloatArray, Series
from debugger.profile.facts import Facts
from debugger.profile.intervals import Intervals
from debugger.profile.loading import Loading
from debugger.profile.numbers import in_percent
from debugger.profile.parameters import CpuBottleneck, IoBottleneck, fit_patience
from debugger.profile.rules.findings import capped, spread, stretches, windows_with, worst_window
from debugger.profile.samples import at_once, interval_of
from debugger.profile.verdict import State, Verdict, not_enough

# Percent of a step that is spent waiting, from which on waiting is what a job without a GPU should
# change; AWS has no number for such a job.
LEAST_WAIT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What the two rules say differently."""

    metric: str
    busy: str  # "core 3 is above 90 %": what the busy ones do


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSamples:
    """T moments of one host in which its GPUs were read."""

    host: str
    times: FloatArray  # (T,)
    low: NDArray[np.intp]  # (T,) GPUs that idle
    busy: NDArray[np.intp]  # (T,) cores that are taken

    @property
    def is_bottleneck(self) -> NDArray[np.bool_]:
        """(T,) both at once."""
        return (self.low > 0) & (self.busy > 0)

    @property
    def percent(self) -> float:
        """Of the samples."""
        return 100.0 * float(np.mean(self.is_bottleneck)) if len(self.times) else 0.0


def read_samples(
    facts: Facts, parameters: CpuBottleneck | IoBottleneck, metric: str
) -> list[HostSamples]:
    """Of every host with GPUs, within what is analysed."""
    found = []
    for host in facts.hosts:
        times, gpu = at_once(facts.series(host, GPU))
        if not len(times):
            continue
        kept = facts.is_analysed(times)
        times, gpu = times[kept], gpu[kept]
        busy = _busy(facts.series(host, metric), times, parameters.busy_threshold)
        low = (gpu < parameters.gpu_threshold).sum(axis=1)
        found.append(HostSamples(host=host, times=times, low=low, busy=busy))
    return found


def _busy(named: Mapping[str, Series], times: FloatArray, limit: float) -> NDArray[np.intp]:
    """How many cores are above the limit at each moment."""
    if not len(times):
        return np.zeros(0, dtype=np.intp)
    marks = {"": Series(times=times, values=np.zeros(len(times)))}
    moments, values = at_once({**marks, **dict(named)})
    counts = (values > limit).sum(axis=1)
    nearest = np.clip(np.searchsorted(moments, times), 0, len(moments) - 1)
    return np.asarray(counts[nearest], dtype=np.intp)


def judge_samples(
    facts: Facts,
    parameters: CpuBottleneck | IoBottleneck,
    texts: Texts,
    advice: str,
    gain: float | None,
) -> Verdict:
    """Share of the samples, host by host."""
    found = read_samples(facts, parameters, texts.metric)
    num = max(len(one.times) for one in found)
    needed, fitted = fit_patience(parameters.patience, parameters, num)
    if num < needed:
        return not_enough(num, needed - 1, "samples of a GPU", fitted)
    fired = [one for one in found if one.percent > parameters.threshold]
    worst = max(found, key=lambda one: one.percent)
    datapoints = sum(len(one.times) for one in found)
    violations = sum(int(one.is_bottleneck.sum()) for one in found)
    sentence = (
        f"{worst.host}: in {in_percent(worst.percent)} of {len(worst.times)} samples a GPU is "
        f"below {parameters.gpu_threshold} % while {texts.busy} "
        f"(limit {parameters.threshold} %)" + (f"; {fitted}" if fitted else "")
    )
    details = _details(facts, found, fired)
    if fired and gain is not None:
        details["gain_percent"] = gain
    return Verdict(
        state=State.FIRED if fired else State.FINE,
        sentence=sentence,
        triggered=len(fired),
        violations=violations,
        datapoints=datapoints,
        details=details,
        findings=capped(
            finding
            for one in sorted(fired, key=lambda one: -one.percent)
            for finding in _findings(facts, one, parameters, sentence, advice)
        ),
    )


def _findings(
    facts: Facts,
    one: HostSamples,
    parameters: CpuBottleneck | IoBottleneck,
    sentence: str,
    advice: str,
) -> list[Finding]:
    windows = windows_with(facts, one.times, one.is_bottleneck, parameters.scan_interval_us)
    first = Finding(
        step=worst_window(windows),
        tensor=one.host,
        value=one.percent,
        threshold=float(parameters.threshold),
        message=sentence,
        advice=advice,
    )
    above = {
        number: (hits, every)
        for number, (hits, every) in windows.items()
        if 100 * hits > parameters.threshold * every
    }
    return spread(first, above, f"{one.host}: {{value}} % of the samples of window {{window}}")


def _details(facts: Facts, found: list[HostSamples], fired: list[HostSamples]) -> dict[str, Any]:
    bottlenecks = {
        repr(float(one.times[place])): {
            "GPUs": int(one.low[place]), "CPUs": int(one.busy[place]), "Node": one.host,
        }
        for one in found
        for place in np.flatnonzero(one.is_bottleneck)
    }  # fmt: skip
    details: dict[str, Any] = {
        "low_gpu_utilization": sum(int((one.low > 0).sum()) for one in found),
        "bottlenecks": bottlenecks,
        "percent": {one.host: one.percent for one in found},
        "intervals": {
            one.host: stretches(one.times, one.is_bottleneck, interval_of(one.times))
            for one in found
        },
    }
    if fired:
        moments = np.unique(np.concatenate([one.times[one.is_bottleneck] for one in fired]))
        details |= what_ran(facts.profile.events, np.column_stack([moments, moments]))
    return details


def what_ran(events: Events, when: Intervals) -> dict[str, Any]:
    """AWS's shares of the events that overlap any of these intervals, each event once.

    An interval may be a moment: it starts where it ends.
    """
    ends = events.starts + events.seconds
    begun = np.searchsorted(when[:, 0], ends, side="left")
    over = np.searchsorted(when[:, 1], events.starts, side="right")
    aggregates = Aggregates()
    aggregates.add(events, (begun > over).astype(np.int64))
    return aggregates.details(swapped=False)


def waits_too_long(one: Loading, parameters: CpuBottleneck | IoBottleneck) -> bool:
    """On a job without a GPU: waiting for data is a large part of its steps."""
    is_given = "threshold" in parameters.given
    return one.wait_percent > (parameters.threshold if is_given else LEAST_WAIT)

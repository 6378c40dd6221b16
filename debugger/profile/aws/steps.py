"""Rules over steps and loaders, as AWS computes them."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debugger.profile.aws.aggregates import Aggregates
from debugger.profile.aws.windows import Window, num_until, to_micros, windows_of
from debugger.profile.data import CPU, Events, FloatArray, Profile
from debugger.profile.numbers import histogram, quantiles
from debugger.profile.parameters import Dataloader, MaxInitializationTime, StepOutlier
from debugger.profile.phases import DATA_WAIT, LOADER_START, LOADER_WORKER, STEP_MARK
from debugger.profile.verdict import Verdict, replayed

_LEAST_STEPS = 100  # of a process and mode: more than these


def _is_step(events: Events) -> NDArray[np.bool_]:
    known = {name: STEP_MARK in name for name in set(events.names.tolist())}
    return np.fromiter((known[name] for name in events.names), dtype=bool, count=len(events))


@dataclass(kw_only=True)
class _Durations:
    """Of the steps of one process under one name."""

    seconds: list[float] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)


def replay_step_outlier(profile: Profile, parameters: StepOutlier) -> Verdict:
    """Once a window, process and mode; of a process the last mode alone is kept."""
    events, triggered, violations, datapoints = profile.events, 0, 0, 0
    is_step = _is_step(events)
    if parameters.mode:
        is_step |= events.names == parameters.mode
    known: defaultdict[str, defaultdict[str, _Durations]] = defaultdict(
        lambda: defaultdict(_Durations)
    )
    aggregates, details, more = Aggregates(), dict[str, Any](), dict[str, Any]()
    windows = windows_of(profile, parameters.scan_interval_us)
    first = 0
    for last in num_until(events.starts, windows).tolist():
        places = first + np.flatnonzero(is_step[first:last])
        datapoints += len(places)
        spans = _note(known, events, places)
        for node, modes in known.items():
            for mode, found in modes.items():
                if len(found.seconds) <= _LEAST_STEPS:
                    continue
                details[node] = _statistics(found, mode, parameters.stddev)
                count = details[node]["number_of_outliers"]
                if count > parameters.n_outliers:
                    triggered, violations = triggered + 1, violations + count
                    outliers = [spans[node, one] for one in details[node]["step_numbers"]
                                if (node, one) in spans]  # fmt: skip
                    aggregates.add(events, _overlaps(events, first, last, outliers))
                    more = aggregates.details(swapped=True) if outliers else more
        first = last
    return replayed(
        triggered, violations, datapoints, {"step_details": details, **more}, _LEAST_STEPS
    )


def _note(
    known: defaultdict[str, defaultdict[str, _Durations]],
    events: Events,
    places: NDArray[np.intp],
) -> dict[tuple[str, str], tuple[int, int]]:
    """Remember the steps. Returns the first span of each number in this window, microseconds."""
    spans: dict[tuple[str, str], tuple[int, int]] = {}
    starts, lengths = to_micros(events.starts[places]), to_micros(events.seconds[places])
    for place, start, length in zip(
        places.tolist(), starts.tolist(), lengths.tolist(), strict=True
    ):
        node, number = events.nodes[place], str(events.arguments[place].get("step_num", ""))
        found = known[node][events.names[place]]
        found.seconds.append(length / 1e6)
        found.numbers.append(number)
        spans.setdefault((node, number), (start, start + length))
    return spans


def _statistics(found: _Durations, mode: str, stddev: float) -> dict[str, Any]:
    values = np.array(found.seconds)
    limit = values.mean() + stddev * values.std()
    outliers = np.flatnonzero(values > limit)
    return {
        "step_stats": step_stats(values),
        "number_of_outliers": len(outliers),
        "phase": mode,
        "stddev": round(float(values.std()), 2),
        **histogram(values[values < limit]),
        "step_numbers": [found.numbers[place] for place in outliers],
    }


def step_stats(values: FloatArray) -> dict[str, float]:
    """In AWS's order."""
    found = quantiles(values, 50, 95, 99)
    return {
        "mean": float(values.mean()), "max": float(values.max()), "p99": found["p99"],
        "p95": found["p95"], "p50": found["p50"], "min": float(values.min()),
    }  # fmt: skip


def _overlaps(
    events: Events, first: int, last: int, spans: list[tuple[int, int]]
) -> NDArray[np.int64]:
    """How many of the spans each event of a window overlaps."""
    counts = np.zeros(len(events), dtype=np.int64)
    starts = to_micros(events.starts[first:last])
    ends = starts + to_micros(events.seconds[first:last])
    for start, end in spans:
        counts[first:last] += (starts < end) & (ends > start)
    return counts


def replay_max_initialization_time(profile: Profile, parameters: MaxInitializationTime) -> Verdict:
    """Once a window without a step so far, from `threshold` minutes on."""
    events = profile.events
    starts = events.starts[_is_step(events)]
    micros = to_micros(starts).tolist()
    details: dict[str, Any] = {"step_num": {}}
    if micros:
        details["step_num"]["first"] = micros[0]
    if len(micros) > 1:
        details["step_num"]["last"] = micros[-1]
    times = [
        series.times
        for metrics in profile.system.values()
        for named in metrics.series.values()
        for series in named.values()
        if len(series.times)
    ]
    if times:
        details["job_start"] = float(min(one[0] for one in times))
        details["job_end"] = float(max(one[-1] for one in times))
    windows = windows_of(profile, parameters.scan_interval_us)
    triggered = sum(
        window.start - windows[0].start > parameters.threshold * 60 and not seen
        for window, seen in zip(windows, num_until(starts, windows), strict=True)
    )
    return replayed(triggered, triggered, len(micros), details, -1)


def replay_dataloader(profile: Profile, parameters: Dataloader) -> Verdict:
    """Once a window with loading: processes that load, beside the cores of the first window."""
    events = profile.events
    is_loading = (events.phases == DATA_WAIT) | (events.phases == LOADER_WORKER)
    windows = windows_of(profile, parameters.scan_interval_us)
    cores = _cores(profile, windows[0])
    details: dict[str, Any] = {}
    for place in np.flatnonzero(events.phases == LOADER_START).tolist():
        known = events.arguments[place]
        details |= {name: known[name] for name in ("pin_memory", "num_workers") if name in known}
    counts: list[int] = []
    violations = seen = 0
    loading = np.flatnonzero(is_loading)
    for last in num_until(events.starts[loading], windows).tolist():
        places, seen = loading[seen:last], last
        if not len(places):
            continue
        counts += _loaders(events, places)
        median = int(np.median(counts))
        if len(counts) > parameters.patience:
            too_few = median < cores * parameters.min_threshold / 100
            too_many = median > cores * parameters.max_threshold / 100
            violations += too_few + too_many
        details |= {"cores": cores, "dataloaders": median}
    if len(loading):
        seconds = to_micros(events.seconds[loading]) / 1e6
        details["dataloading_time"] = {**quantiles(seconds, 25, 50, 95), **histogram(seconds)}
    return replayed(
        int(violations > 0), violations, len(loading), details, 0 if len(loading) else 1
    )


def _cores(profile: Profile, window: Window) -> int:
    """Names of cores, of whatever host."""
    return len({
        name
        for metrics in profile.system.values()
        for name, series in metrics.of(CPU).items()
        if len(series.times) and series.times[0] < window.end
    })  # fmt: skip


def _loaders(events: Events, places: NDArray[np.intp]) -> list[int]:
    """Distinct processes of each second in which anything was loaded."""
    pids: defaultdict[int, set[object]] = defaultdict(set)
    for place, second in zip(places.tolist(), np.floor(events.starts[places]), strict=True):
        known = pids[int(second)]
        if "pid" in events.arguments[place]:
            known.add(events.arguments[place]["pid"])
    return [len(found) for found in pids.values()]

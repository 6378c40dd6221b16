"""System metrics as numbers to compute with: several series at the same moments, and means."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from debugger.profile.data import FloatArray, Series
from debugger.profile.intervals import Intervals, overlap

TICK_SECONDS = 0.02  # lines of one tick of the agent lie this close together; AWS's number
_LONGEST = 2.0  # usual intervals that a sample may speak for, where some are missing


def at_once(named: Mapping[str, Series]) -> tuple[FloatArray, FloatArray]:
    """(T,) moments and (T, K) values of K series; NaN where one has no value near the moment.

    The moments are those of the longest series.
    """
    every = list(named.values())
    if not every:
        return np.empty(0), np.empty((0, 0))
    times = max(every, key=lambda one: len(one.times)).times
    columns = [_at(one, times) for one in every]
    return times, np.column_stack(columns)


def _at(series: Series, times: FloatArray) -> FloatArray:
    if len(series.times) == len(times) and np.all(np.abs(series.times - times) < TICK_SECONDS):
        return series.values
    if not len(series.times):
        return np.full(len(times), np.nan)
    right = np.clip(np.searchsorted(series.times, times), 0, len(series.times) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(series.times[left] - times) < np.abs(series.times[right] - times)
    place = np.where(nearer, left, right)
    is_near = np.abs(series.times[place] - times) <= max(TICK_SECONDS, interval_of(times) / 2)
    return np.where(is_near, series.values[place], np.nan)


def mean_of(named: Mapping[str, Series]) -> Series | None:
    """The mean over all names (cores, GPUs) at each moment; None without any."""
    times, values = at_once(named)
    if not len(times):
        return None
    counts = np.isfinite(values).sum(axis=1)
    means = np.nansum(values, axis=1) / np.maximum(counts, 1)
    return Series(times=times[counts > 0], values=means[counts > 0])


def highest_of(named: Mapping[str, Series]) -> Series | None:
    """The highest of all names at each moment; None without any."""
    times, values = at_once(named)
    if not len(times):
        return None
    is_there = np.isfinite(values).any(axis=1)
    highest = np.where(np.isfinite(values), values, -np.inf).max(axis=1)
    return Series(times=times[is_there], values=highest[is_there])


def interval_of(times: FloatArray) -> float:
    """The usual seconds from one sample to the next; 0 for fewer than two."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def lengths_of(times: FloatArray) -> FloatArray:
    """Seconds before each moment that its sample speaks for: the agent measures backwards."""
    usual = interval_of(times)
    lengths: FloatArray = np.minimum(np.diff(times, prepend=times[:1] - usual), _LONGEST * usual)
    return lengths


def seconds_in(times: FloatArray, intervals: Intervals) -> FloatArray:
    """How much of what each sample speaks for lies in the set."""
    return overlap(intervals, times - lengths_of(times), times)


def mean_during(series: Series | None, intervals: Intervals) -> float | None:
    """The mean while a set of moments lasts; None when no sample touches it."""
    if series is None or not len(series.times):
        return None
    weights = seconds_in(series.times, intervals)
    total = weights.sum()
    return float((weights * series.values).sum() / total) if total > 0 else None


def is_during(times: FloatArray, start: float, end: float) -> NDArray[np.bool_]:
    """Which samples speak for a stretch that lies between two moments, by half or more."""
    if len(times) < 2:
        return (times >= start) & (times <= end)
    lengths = lengths_of(times)
    inside = np.minimum(times, end) - np.maximum(times - lengths, start)
    result: NDArray[np.bool_] = inside >= np.maximum(lengths, 1e-9) / 2
    return result

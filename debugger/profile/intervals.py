"""Sets of moments: intervals that do not overlap, in their order; (M, 2) Unix seconds."""

import numpy as np
from numpy.typing import NDArray

from debugger.profile.data import FloatArray

Intervals = NDArray[np.float64]  # (M, 2): start and end
NONE: Intervals = np.empty((0, 2))


def union(starts: FloatArray, ends: FloatArray) -> Intervals:
    """All moments that lie in any of N spans, in whatever order they come."""
    if not len(starts):
        return NONE
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    is_first = np.r_[True, starts[1:] > ends[:-1]]
    firsts = np.flatnonzero(is_first)
    lasts = np.r_[firsts[1:] - 1, len(starts) - 1]
    return np.column_stack([starts[firsts], ends[lasts]])


def single(start: float, end: float) -> Intervals:
    """From one moment to another; nothing when there is nothing between them."""
    return np.array([[start, end]]) if end > start else NONE


def join(*sets: Intervals) -> Intervals:
    """The moments that lie in any of the sets."""
    every = np.concatenate([*sets, NONE])
    return union(every[:, 0], every[:, 1])


def difference(intervals: Intervals, without: Intervals) -> Intervals:
    """The moments of the first set that do not lie in the second."""
    edges = np.unique(np.concatenate([intervals.ravel(), without.ravel()]))
    middles = (edges[:-1] + edges[1:]) / 2
    kept = contains(intervals, middles) & ~contains(without, middles)
    return union(edges[:-1][kept], edges[1:][kept])


def contains(intervals: Intervals, times: FloatArray) -> NDArray[np.bool_]:
    """Which moments lie in the set; the end of an interval does not."""
    if not len(intervals):
        return np.zeros(len(times), dtype=bool)
    place = np.searchsorted(intervals[:, 0], times, side="right") - 1
    result: NDArray[np.bool_] = (place >= 0) & (times < intervals[np.maximum(place, 0), 1])
    return result


def within(intervals: Intervals, start: float, end: float) -> Intervals:
    """What of them lies between two moments."""
    cut = np.clip(intervals, start, end)
    return cut[cut[:, 1] > cut[:, 0]]


def seconds_of(intervals: Intervals) -> float:
    """How long all of them are together."""
    return float((intervals[:, 1] - intervals[:, 0]).sum())


def seconds_before(intervals: Intervals, times: FloatArray) -> FloatArray:
    """How much of the set lies before each moment."""
    if not len(intervals):
        return np.zeros_like(times)
    lengths = intervals[:, 1] - intervals[:, 0]
    done = np.concatenate([[0.0], np.cumsum(lengths)])
    place = np.searchsorted(intervals[:, 0], times, side="right")
    begun = np.maximum(place - 1, 0)
    inside = np.clip(times - intervals[begun, 0], 0.0, lengths[begun])
    result: FloatArray = done[begun] + inside
    return result


def overlap(intervals: Intervals, starts: FloatArray, ends: FloatArray) -> FloatArray:
    """How much of each span lies in the set."""
    return seconds_before(intervals, ends) - seconds_before(intervals, starts)

"""Envelope: a long series as few points that hide no peak: lowest, mean and highest of a span."""

from dataclasses import dataclass

import numpy as np

from debugger.profile.data import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Envelope:
    """M spans of equal length; spans without a value are left out."""

    times: FloatArray  # (M,) the middle of the span
    low: FloatArray
    mean: FloatArray
    high: FloatArray
    span_seconds: float  # 0 where every value is a point of its own


def build_envelope(times: FloatArray, values: FloatArray, most: int) -> Envelope:
    """At most `most` points of a series; the series itself when it is as short as that."""
    if len(times) <= most:
        return Envelope(times=times, low=values, mean=values, high=values, span_seconds=0.0)
    start, length = float(times[0]), float(times[-1] - times[0]) or 1.0
    place = np.minimum(((times - start) / length * most).astype(int), most - 1)
    counts = np.bincount(place, minlength=most)
    filled = counts > 0
    low, high = np.full(most, np.inf), np.full(most, -np.inf)
    np.minimum.at(low, place, values)
    np.maximum.at(high, place, values)
    mean = np.bincount(place, values, most)[filled] / counts[filled]
    middle = start + (np.arange(most) + 0.5) * length / most
    return Envelope(
        times=middle[filled],
        low=low[filled],
        mean=mean,
        high=high[filled],
        span_seconds=length / most,
    )

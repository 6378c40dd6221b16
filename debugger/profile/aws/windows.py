"""Windows: AWS looks at a job a minute at a time, and remembers what it saw."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debugger.profile.data import FloatArray, NodeMetrics, Profile, Series

MICRO = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Half-open: what begins at `end` belongs to the next one."""

    number: int
    start: float  # Unix seconds
    end: float

    @property
    def start_us(self) -> int:
        """As AWS's `last_timestamp`."""
        return round(self.start * MICRO)


def windows_of(profile: Profile, interval_us: int) -> list[Window]:
    """From the start of the first file's minute until everything lies in one."""
    seconds = max(1, interval_us) / MICRO
    first = profile.first_file_at
    count = int(max(0.0, profile.ended_at - first) // seconds) + 1
    return [
        Window(number=n, start=first + n * seconds, end=first + (n + 1) * seconds)
        for n in range(count)
    ]


def num_until(times: FloatArray, windows: Iterable[Window]) -> NDArray[np.intp]:
    """How many of ascending `times` have been seen at the end of each window."""
    return np.searchsorted(times, [window.end for window in windows], side="left")


def each_series(profile: Profile, metric: str) -> Iterator[tuple[str, str, Series]]:
    """(node, name, series) of all nodes."""
    for node, metrics in profile.system.items():
        for name, series in metrics.of(metric).items():
            yield node, name, series


def every_time(profile: Profile) -> FloatArray:
    """The moments of all lines of all nodes, each once."""
    found = [
        series.times
        for metrics in profile.system.values()
        for named in metrics.series.values()
        for series in named.values()
    ]
    return np.unique(np.concatenate(found)) if found else np.empty(0)


def summed(metrics: NodeMetrics, *names: str) -> FloatArray:
    """One value a moment: all series of these metrics, added where their times are equal."""
    every = [series for name in names for series in metrics.of(name).values()]
    if not every:
        return np.empty(0)
    times = np.concatenate([series.times for series in every])
    values = np.concatenate([series.values for series in every])
    _, places = np.unique(times, return_inverse=True)
    return np.bincount(places, values).astype(np.float64)


def to_micros(seconds: FloatArray) -> NDArray[np.int64]:
    """Whole microseconds: what the files hold."""
    return np.round(seconds * MICRO).astype(np.int64)

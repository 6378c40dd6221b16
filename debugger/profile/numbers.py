"""Numbers for reports: quantiles, whiskers, histograms, and numbers in sentences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from debugger.profile.data import FloatArray

_IQR_REACH = 1.5  # Tukey's whiskers


def quantiles(values: ArrayLike, *percents: int) -> dict[str, float]:
    """{"p25": ..., ...}, linear between neighbours as AWS does."""
    found = np.quantile(np.asarray(values, dtype=float), [percent / 100 for percent in percents])
    return {f"p{percent:02}": float(value) for percent, value in zip(percents, found, strict=True)}


def whiskers(values: FloatArray, low: float, high: float) -> dict[str, float]:
    """`upper` and `lower` of a box from `low` to `high`, no further than the values reach."""
    reach = _IQR_REACH * (high - low)
    return {
        "upper": min(high + reach, float(values.max())),
        "lower": max(low - reach, float(values.min())),
    }


def box(values: FloatArray, *more: int) -> dict[str, float]:
    """What a box plot needs; `more`: further quantiles, in percent."""
    found = quantiles(values, *sorted({25, 50, 75, 95, *more}))
    return {**found, **whiskers(values, found["p25"], found["p75"])}


def histogram(values: FloatArray) -> dict[str, list[float]]:
    """100 counts and 101 edges, in AWS's words."""
    counts, edges = np.histogram(values, bins=100)
    return {"probs": counts.tolist(), "binedges": edges.tolist()}


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """Percent of their sum; empty when that is zero."""
    total = sum(seconds.values())
    return {name: 100.0 * value / total for name, value in seconds.items()} if total > 0 else {}


def to_plain(value: Any) -> Any:
    """Without numpy, and without what JSON does not know: infinities and NaN become null."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def in_seconds(seconds: float) -> str:
    """`0.35 ms`, `18 ms`, `2.4 s`, `3.2 min`."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.2g} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def in_percent(percent: float) -> str:
    """`63 %`, `4.2 %`."""
    return f"{percent:.0f} %" if percent >= 9.95 or percent == 0 else f"{percent:.1f} %"


def plural(number: int, noun: str) -> str:
    """`1 step`, `1,200 steps`."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "sh", "ch")) else "s"
    return f"{number:,} {noun}{ending}"

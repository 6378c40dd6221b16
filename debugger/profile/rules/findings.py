"""Findings of a rule that looked at the whole job: one for what it found, one for each window."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.rule_result import Finding
from debugger.profile.data import FloatArray
from debugger.profile.facts import Facts
from debugger.profile.verdict import MOST_FINDINGS

_MOST_STRETCHES = 200
_GAP = 1.5  # usual intervals between two samples that still belong together


def windows_with(
    facts: Facts, times: FloatArray, is_hit: NDArray[np.bool_], window_us: int
) -> dict[int, tuple[int, int]]:
    """Window number -> (samples that are hits, all samples), of windows with a hit."""
    numbers = np.floor((times - facts.profile.first_file_at) * 1e6 / max(1, window_us)).astype(int)
    numbers = np.maximum(numbers, 0)
    if not len(numbers):
        return {}
    every, hits = np.bincount(numbers), np.bincount(numbers, is_hit)
    return {int(n): (int(hits[n]), int(every[n])) for n in np.flatnonzero(hits)}


def spread(first: Finding, windows: Mapping[int, Any], message: str) -> list[Finding]:
    """`first` stands for the whole job and says what to change; the others for single windows.

    `message` has `{value}` in the place of a window's number of percent, {window} for its number.
    """
    found = [first]
    for number, (hits, every) in windows.items():
        if number != first.step:
            value = 100.0 * hits / every
            text = message.format(window=number, value=f"{value:.0f}")
            found.append(Finding(step=number, tensor=first.tensor, value=value,
                                 threshold=first.threshold, message=text))  # fmt: skip
    return found


def worst_window(windows: Mapping[int, tuple[int, int]]) -> int:
    """The one with the most hits; 0 without any."""
    return max(windows, key=lambda number: windows[number][0], default=0)


def stretches(times: FloatArray, is_hit: NDArray[np.bool_], usual: float) -> list[list[float]]:
    """[start, end] in Unix seconds of hits that follow one another; each speaks backwards.

    Of very many only the longest.
    """
    hits = times[is_hit]
    if not len(hits):
        return []
    breaks = np.flatnonzero(np.diff(hits) > _GAP * usual)
    firsts, lasts = np.r_[0, breaks + 1], np.r_[breaks, len(hits) - 1]
    longest = np.sort(np.argsort(firsts - lasts, kind="stable")[:_MOST_STRETCHES])
    return [
        [float(hits[first] - usual), float(hits[last])]
        for first, last in zip(firsts[longest], lasts[longest], strict=True)
    ]


def capped(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """No more than a person reads."""
    return tuple(findings)[:MOST_FINDINGS]

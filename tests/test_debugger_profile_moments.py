"""Sets of moments, and the samples of the system during them, against a fine grid and by hand."""

import numpy as np
import pytest
from profiles import T0, Line, write_system

from debugger.profile.intervals import (
    contains,
    difference,
    join,
    seconds_before,
    seconds_of,
    union,
    within,
)
from debugger.profile.read import read_profile
from debugger.profile.samples import at_once, mean_during, mean_of, seconds_in


def grid(spans, start, end, step=0.001):
    """Which moments of a fine grid lie in any of the spans."""
    moments = np.arange(start, end, step) + step / 2
    inside = np.zeros(len(moments), dtype=bool)
    for one, other in spans:
        inside |= (moments >= one) & (moments < other)
    return moments, inside


def test_sets_of_moments_agree_with_a_fine_grid():
    random = np.random.default_rng(1)
    starts, others = random.uniform(0, 9, 40), random.uniform(0, 9, 25)
    ends, finishes = starts + random.uniform(0, 0.4, 40), others + random.uniform(0, 0.6, 25)
    one, other = union(starts, ends), union(others, finishes)
    moments, in_one = grid(zip(starts, ends, strict=True), 0, 10)
    _, in_other = grid(zip(others, finishes, strict=True), 0, 10)
    assert np.array_equal(contains(one, moments), in_one)
    for found, expected in (
        (one, in_one),
        (join(one, other), in_one | in_other),
        (difference(one, other), in_one & ~in_other),
        (within(one, 2.0, 5.0), in_one & (moments > 2) & (moments < 5)),
    ):
        assert seconds_of(found) == pytest.approx(expected.sum() * 0.001, abs=0.02)
        assert np.all(found[1:, 0] > found[:-1, 1])
    before = seconds_before(one, np.array([0.0, 3.0, 10.0]))
    assert before[1] == pytest.approx((in_one & (moments < 3)).sum() * 0.001, abs=0.01)
    assert before[2] == pytest.approx(seconds_of(one))


def test_a_mean_during_moments_weighs_samples_by_what_they_speak_for(tmp_path):
    lines = [
        Line(at=T0 + 1 + i, type="cpu", name=f"cpu{core}", dimension="CPUUtilization",
             value=10.0 * i + core)
        for i in range(5)
        for core in range(2)
    ]  # fmt: skip
    write_system(tmp_path, "algo-1", lines)
    named = read_profile([tmp_path]).system["algo-1"].of("CPUUtilization")
    series = mean_of(named)
    assert series.values.tolist() == [0.5, 10.5, 20.5, 30.5, 40.5]
    # A quarter of the second sample's second, all of the third's.
    when = union(np.array([T0 + 1.75]), np.array([T0 + 3.0]))
    assert seconds_in(series.times, when).tolist() == pytest.approx([0, 0.25, 1, 0, 0])
    assert mean_during(series, when) == pytest.approx((0.25 * 10.5 + 20.5) / 1.25)
    assert mean_during(series, union(np.array([0.0]), np.array([1.0]))) is None


def test_series_of_different_moments_meet_or_are_missing(tmp_path):
    lines = [
        Line(at=T0 + i + 0.004 * core, type="cpu", name=f"cpu{core}", dimension="CPUUtilization",
             value=float(i))
        for i in range(6)
        for core in range(2)
        if not (core == 1 and i in (2, 3))
    ]  # fmt: skip
    write_system(tmp_path, "algo-1", lines)
    times, values = at_once(read_profile([tmp_path]).system["algo-1"].of("CPUUtilization"))
    assert times.tolist() == [T0 + i for i in range(6)]
    assert values[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert np.isnan(values[[2, 3], 1]).all()
    assert values[[0, 1, 4, 5], 1].tolist() == [0, 1, 4, 5]

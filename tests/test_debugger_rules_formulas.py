"""The formulas of the rules against plain loops over Python's numbers."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given as given_by_hypothesis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from debugger.rules.changes import update_ratio
from debugger.rules.classes import classes_of, confusion, imbalance, shares_of
from debugger.rules.content import (
    are_all_zero,
    is_out_of_bounds,
    num_not_finite,
    percent_zero,
)
from debugger.rules.generalization import excess, since_best
from debugger.rules.initialization import has_stalled, ratio_of, spread
from debugger.rules.loss import has_fallen, reference
from debugger.rules.pictures import channel_sums
from debugger.rules.similar import largest_difference
from debugger.rules.units import active_counts, percent_inactive
from debugger.rules.vanishing import vanished
from debugger.saved import REDUCERS, reduce


def given(*strategies):
    """Hypothesis's, without a limit on time: the machine may have other work."""

    def wrap(test):
        return settings(deadline=None)(given_by_hypothesis(*strategies)(test))

    return wrap


NUMBERS = st.floats(-100, 100, width=32)
ANY = st.floats(width=32)
SOME = arrays(np.float32, array_shapes(max_dims=4, max_side=4), elements=NUMBERS)


@given(SOME)
def test_reductions_are_what_a_loop_computes(values):
    numbers = [float(one) for one in values.ravel()]
    sizes = [abs(one) for one in numbers]
    expected = {
        "min": min(numbers),
        "max": max(numbers),
        "mean": statistics.fmean(numbers),
        "std": statistics.pstdev(numbers),
        "variance": statistics.pvariance(numbers),
        "sum": math.fsum(numbers),
        "abs_mean": statistics.fmean(sizes),
        "l1": math.fsum(sizes),
        "l2": math.sqrt(math.fsum(one * one for one in numbers)),
    }
    for name, value in expected.items():
        assert reduce(values, name) == pytest.approx(value, rel=1e-4, abs=1e-3), name
    assert set(REDUCERS) >= {name.removeprefix("abs_") for name in expected}


@given(st.dictionaries(st.text(), st.floats(0, 1)), st.floats(0, 1))
def test_gradients_that_vanish_are_those_below_the_threshold_smallest_first(means, threshold):
    found = vanished(means, threshold)
    assert found.keys() == {name for name, mean in means.items() if mean < threshold}
    assert list(found.values()) == sorted(found.values())


@given(arrays(np.float32, (3, 4), elements=ANY), st.booleans())
def test_values_that_are_not_finite_are_counted(values, only_nan):
    count = 0
    for one in values.ravel():
        count += math.isnan(one) or (math.isinf(one) and not only_nan)
    assert num_not_finite(values, only_nan) == count
    assert num_not_finite(np.array([1, 2]), only_nan) == 0


@given(arrays(np.int8, (2, 7), elements=st.integers(-1, 1)))
def test_the_share_of_zeros_is_a_percentage(values):
    zeros = sum(1 for one in values.ravel().tolist() if one == 0)
    assert percent_zero(values) == pytest.approx(100 * zeros / 14)


def test_reductions_tell_whether_all_is_zero_or_say_that_they_do_not():
    assert are_all_zero({"abs_max": 0.0}) is True
    assert are_all_zero({"min": 0.0, "max": 0.0}) is True
    assert are_all_zero({"min": 0.0, "max": 1.0}) is False
    assert are_all_zero({"l2": 0.1}) is False
    assert are_all_zero({"mean": 0.0}) is None  # -1 and 1 have it, too
    assert are_all_zero({"min": 0.0}) is None


@pytest.mark.parametrize(
    ("variance", "low", "high", "wrong"),
    [(2, None, 1, True), (1, None, 1, False), (0.1, 0.2, None, True), (5, 0.2, None, False),
     (5, 1, 4, True), (0.5, 1, 4, True), (2, 1, 4, False)],
)  # fmt: skip
def test_a_variance_breaks_the_bounds_that_are_given(variance, low, high, wrong):
    assert is_out_of_bounds(variance, low, high) is wrong


@given(st.data(), SOME)
def test_the_update_ratio_is_mean_change_over_mean_size(data, before):
    after = data.draw(arrays(np.float32, before.shape, elements=NUMBERS))
    pairs = list(zip(before.ravel().tolist(), after.ravel().tolist(), strict=True))
    change = statistics.fmean(abs(new - old) for old, new in pairs)
    size = statistics.fmean(abs(old) for old, _ in pairs)
    assert update_ratio(before, after, 1e-9) == pytest.approx(change / (size + 1e-9), rel=1e-6)
    assert largest_difference(before, after) == max(abs(new - old) for old, new in pairs)


def test_arrays_of_different_shape_differ_without_end():
    assert largest_difference(np.ones(2), np.ones(3)) == math.inf


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0, 1))
def test_losses_since_the_best_are_those_that_did_not_beat_it_by_delta(losses, delta):
    best_at, best = 0, losses[0]
    for position, loss in enumerate(losses):
        if loss < best - delta:
            best_at, best = position, loss
    assert since_best(losses, delta) == len(losses) - 1 - best_at


def test_nan_is_never_a_better_loss():
    assert since_best([1.0, math.nan, math.nan], 0.01) == 2
    assert has_stalled([1.0, math.nan, math.nan], 2)
    assert not has_fallen(math.nan, 1.0, 0.1)


def test_excess_is_the_share_by_which_validation_is_worse():
    assert excess(2.0, 3.0) == pytest.approx(0.5)
    assert excess(-2.0, -1.0) == pytest.approx(0.5)  # losses of other kinds may be negative
    assert excess(0.0, 1.0) == math.inf
    assert excess(0.0, 0.0) == 0.0


@given(st.lists(st.floats(0, 5), max_size=20), st.integers(1, 6))
def test_a_loss_has_stalled_when_none_of_the_last_is_below_all_before(losses, patience):
    if len(losses) <= patience:
        assert not has_stalled(losses, patience)
        return
    before, last = losses[: len(losses) - patience], losses[len(losses) - patience :]
    assert has_stalled(losses, patience) is all(one >= min(before) for one in last)


@given(arrays(np.float64, st.integers(2, 60), elements=st.floats(-10, 10)))
def test_spread_is_the_distance_of_two_percentiles_interpolated_between_neighbours(values):
    def percentile(q: float) -> float:
        ordered = sorted(values.tolist())
        place = q / 100 * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    assert spread(values) == pytest.approx(percentile(95) - percentile(5), abs=1e-9)


def test_the_ratio_of_variances_has_an_end_only_when_none_is_zero():
    assert ratio_of({"a": 2.0, "b": 0.5, "c": 1.0}) == 4.0
    assert ratio_of({"a": 2.0, "b": 0.0}) == math.inf
    assert ratio_of({"a": 0.0, "b": 0.0}) == 1.0


@given(st.lists(st.integers(0, 50), unique=True), st.integers(0, 60), st.integers(1, 20))
def test_the_reference_is_the_newest_step_that_is_old_enough(steps, step, num_steps):
    steps = sorted(steps)
    old_enough = [one for one in steps if step - one >= num_steps]
    position = reference(steps, step, num_steps)
    assert (None if position is None else steps[position]) == (
        old_enough[-1] if old_enough else None
    )


@pytest.mark.parametrize(
    ("loss", "before", "percent", "fell"),
    [(0.98, 1.0, 1, True), (0.99, 1.0, 1, False), (1.0, 1.0, 0, False), (0.999, 1.0, 0, True),
     (-1.1, -1.0, 5, True), (-1.0, -1.0, 5, False)],
)  # fmt: skip
def test_a_loss_has_fallen_when_it_lies_below_by_the_percentage(loss, before, percent, fell):
    assert has_fallen(loss, before, percent) is fell


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_imbalance_is_the_largest_over_the_smallest_class_that_was_seen(labels):
    counts = [labels.count(one) for one in set(labels)]
    assert imbalance(np.bincount(labels)) == max(counts) / min(counts)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_confusion_matrix_counts_pairs_and_its_shares_fill_a_row(pairs):
    labels, guesses = (np.array(one) for one in zip(*pairs, strict=True))
    matrix = confusion(labels, guesses, 4)
    for label in range(4):
        row = [sum(1 for pair in pairs if pair == (label, guess)) for guess in range(4)]
        assert matrix[label].tolist() == row
        shares = shares_of(matrix)[label]
        assert np.isnan(shares).all() if not sum(row) else shares.sum() == pytest.approx(1)


def test_scores_and_one_hot_rows_become_the_class_with_the_largest():
    scores = np.array([[0.1, 0.7, 0.2], [0.9, 0.0, 0.1]])
    assert classes_of(scores).tolist() == [1, 0]
    assert classes_of(np.array([[2], [1]])).tolist() == [2, 1]
    assert classes_of(np.array([2.0, 1.0])).tolist() == [2, 1]


@given(arrays(bool, (5, 3, 2, 2)))
def test_a_channel_is_active_for_a_picture_when_it_is_anywhere(active):
    expected = [
        sum(any(active[n, c, h, w] for h in (0, 1) for w in (0, 1)) for n in range(5))
        for c in range(3)
    ]
    counts, observations = active_counts(active)
    assert (counts.tolist(), observations) == (expected, 5)


@pytest.mark.parametrize(
    ("shape", "units", "observations"),
    [((), 1, 1), ((4,), 4, 1), ((6, 4), 4, 6), ((6, 9, 4), 4, 6), ((6, 4, 2, 2), 4, 6)],
)
def test_units_and_observations_follow_from_the_number_of_axes(shape, units, observations):
    counts, seen = active_counts(np.ones(shape, bool))
    assert (len(counts), seen, set(counts.tolist())) == (units, observations, {observations})


@given(st.lists(st.integers(0, 200), min_size=1, max_size=9), st.floats(0, 100))
def test_inactive_units_are_those_active_in_less_than_the_percentage(counts, percent):
    inactive = sum(1 for count in counts if 100 * count / 200 < percent)
    expected = 100 * inactive / len(counts)
    assert percent_inactive(np.array(counts), 200, percent) == pytest.approx(expected)


@given(arrays(np.uint8, (2, 3, 4, 2)), st.integers(0, 3))
def test_sums_of_a_channel_leave_out_every_other_axis(pictures, channel):
    sums, count = channel_sums(pictures, channel)
    for index, total in enumerate(sums.tolist()):
        assert total == pictures.take(index, axis=channel).astype(int).sum()
        assert count == pictures.take(index, axis=channel).size

"""What costs trials or trust is said aloud, and what is fine is not."""

import pytest
from tuning import GRID, spec_of

from contract.tuning_warnings import tuning_warnings

FINE = {"objective": "validation:loss"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        GRID | {"ranges": {"lr": [0.1, 0.01]}},
        {"ranges": {"weight-decay": [0.0, 0.0001], "mixup": {"min": 0, "max": 1}}},
        {"ranges": {"optimizer": ["sgd", "adamw"]}, "max_jobs": 2},
    ],
    ids=str,
)
def test_a_sound_search_is_not_commented_on(changes):
    assert tuning_warnings(spec_of(**{**changes, **FINE})) == ()


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        ({"lr": {"min": 0.001, "max": 0.9}}, "0.1 to 0.9 (32% of the draws) is outside 0.0001 to"),
        ({"lr": {"min": 0.001, "max": 0.9}}, "training is known to diverge"),
        ({"lr": {"min": 0.5, "max": 0.9}}, "0.5 to 0.9 (100% of the draws)"),
        ({"lr": [0.01, 0.9, 1]}, "0.9, 1 is outside"),
        ({"lr": {"min": 1e-7, "max": 0.001}}, "1e-07 to 0.0001 (75% of the draws)"),
        ({"momentum": [0.9, 0.999]}, "0.999 is outside 0.5 to 0.99"),
    ],
)
def test_the_part_of_a_range_that_diverges_is_named(ranges, says):
    (line,) = tuning_warnings(spec_of(ranges=ranges, max_jobs=1, **FINE))
    assert says in line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objective": "test:loss"}, "no longer independent; validation:loss keeps it so"),
        ({"objective": "test:loss", "early_stopping": "Auto"}, "nothing to stop early by"),
        ({"objective": "train:loss"}, "rewards overfitting"),
        ({"objective": "validation:loss", "goal": "Maximize"}, "searches for the worst"),
        ({"ranges": {"lr": [0.1, 0.01]}}, "2 combinations only and 20 trials repeat some"),
        ({"max_parallel_jobs": 10}, "leave Bayesian search little to learn from"),
    ],
)
def test_a_search_that_costs_trials_or_trust_is_commented_on(changes, says):
    assert says in tuning_warnings(spec_of(**changes))[-1]

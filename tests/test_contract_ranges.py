"""Ranges take names and types from the table of knobs, and scalings that SageMaker allows."""

import numpy as np
import pytest

from contract.errors import HyperparameterError, SpecError
from contract.ranges import (
    CategoricalRange,
    ContinuousRange,
    range_to_json,
    read_ranges,
    share_above,
    text_for,
    text_of,
)


def read(**ranges):
    """One range, with the name that it got."""
    ((name, one),) = read_ranges(ranges).items()
    return name, one


@pytest.mark.parametrize(
    ("key", "given", "name", "values"),
    [
        ("mini_batch_size", ["32", 64.0], "batch-size", (32, 64)),
        ("num_layers", [18, "50"], "arch", ("resnet18", "resnet50")),
        ("use_pretrained_model", [0, 1], "pretrained", (False, True)),
        ("optimizer", ['"sgd"', "nesterov"], "optimizer", ("sgd", "nag")),
    ],
)
def test_listed_values_get_our_name_and_the_type_of_the_knob(key, given, name, values):
    found, one = read(**{key: given})
    assert found == name
    assert one == CategoricalRange(values=values)
    assert [type(value) for value in one.values] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("key", "low", "high", "word", "scaling"),
    [
        ("lr", 0.001, 0.1, "Auto", "Logarithmic"),
        ("lr", 0.001, 0.1, "Linear", "Linear"),
        ("weight_decay", 0, 0.1, "Auto", "Linear"),  # no logarithm of 0
        ("momentum", 0.5, 0.99, "ReverseLogarithmic", "ReverseLogarithmic"),
        ("epochs", 3, 10, "Auto", "Linear"),
    ],
)
def test_auto_is_what_the_table_says(key, low, high, word, scaling):
    _, one = read(**{key: {"min": low, "max": high, "scaling": word}})
    assert one.scaling == scaling


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        ({"lr": 0.1}, "one value belongs under [hyperparameters]"),
        ({"lr": {"min": 0.1}}, "expected min and max"),
        ({"lr": {"min": 0.1, "max": 0.1}}, "expected min < max"),
        ({"lr": {"min": 0.1, "max": 0.2, "scale": "Auto"}}, "did you mean 'scaling'"),
        ({"lr": {"min": 0.1, "max": 0.2, "scaling": "Log"}}, "one of Auto | Linear"),
        ({"momentum": {"min": 0, "max": 0.9, "scaling": "Logarithmic"}}, "needs min > 0"),
        ({"epochs": {"min": 1, "max": 9, "scaling": "ReverseLogarithmic"}}, "max < 1"),
        ({"optimizer": {"min": 1, "max": 2}}, "optimizer"),
        ({"lr": []}, "expected 1 to 30 values, got 0"),
        ({"epochs": list(range(1, 32))}, "expected 1 to 30 values, got 31"),
        ({"optimizer": {"min": 1, "max": 2}}, "optimizer is one of sgd | nag | adam"),
        ({"lr": {"min": 0.1, "max": 1, "scaling": "log"}}, "did you mean 'Logarithmic'"),
        ({"lr": [0.1, "0.10"]}, "listed twice"),
        ({"lr": [0.1], "learning_rate": [0.2]}, "lr is searched already"),
        ({"lr-step-epochs": ["1" * 257]}, "more than 256 characters"),
        ({"learnig-rate": [0.1]}, "did you mean 'learning-rate'"),
        ({"lr": [0.1, "fast"]}, "got 'fast'"),
        ({"lr": {"min": 0.1, "max": 11}}, "< 10"),
        ({"epochs": {"min": 1.5, "max": 3}}, "a whole number"),
        ({"resize": [224, 256]}, "a hyperparameter that training uses"),
        ({"lr_scheduler_step": ["3", "5"]}, "by itself"),
        ({"lr": [[0.1]]}, "expected one value"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(ranges, says):
    with pytest.raises((SpecError, HyperparameterError)) as caught:
        read_ranges(ranges)
    assert says in str(caught.value)


def test_plain_data_is_read_back_the_same():
    given = {"lr": {"min": 1e-05, "max": 0.1, "scaling": "Linear"}, "pretrained": [True, False]}
    ranges = read_ranges(given)
    assert {name: range_to_json(name, one) for name, one in ranges.items()} == given


def test_auto_stays_a_word():
    (one,) = read_ranges({"batch_size": ["auto", 32]}).values()
    assert one.values == (0, 32)
    assert [text_for("batch-size", value) for value in one.values] == ["auto", "32"]
    assert [text_for("warmup-epochs", 0), text_for("pretrained", True)] == ["0", "true"]


@pytest.mark.parametrize(("low", "says"), [("auto", "auto is no bound"), (0, "or auto, got '0'")])
def test_auto_is_no_bound(low, says):
    with pytest.raises((SpecError, HyperparameterError), match=says):
        read_ranges({"batch_size": {"min": low, "max": 64}})


def test_values_are_told_to_sagemaker_with_every_digit():
    assert [text_of(value) for value in (True, 32, 0.1 + 0.2)] == [
        "true", "32", "0.30000000000000004",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "scaling", "bound", "draw"),
    [
        (0.001, 0.9, "Logarithmic", 0.1, lambda u: 0.001 * (0.9 / 0.001) ** u),
        (0.0, 2.0, "Linear", 0.5, lambda u: 2.0 * u),
        (0.5, 0.999, "ReverseLogarithmic", 0.99, lambda u: 1 - 0.5 * (0.001 / 0.5) ** u),
    ],
)
def test_the_share_above_a_bound_is_that_of_the_draws(low, high, scaling, bound, draw):
    one = ContinuousRange(minimum=low, maximum=high, scaling=scaling)
    draws = draw(np.linspace(0, 1, 100_001))
    assert share_above(one, bound) == pytest.approx(float((draws > bound).mean()), abs=1e-4)
    assert (share_above(one, low - 1), share_above(one, high)) == (1.0, 0.0)

from dataclasses import dataclass

import pytest

from contract.errors import HyperparameterError
from contract.setting import Setting, knob, settings_of


def setting(kind=float, default=0.5, **limits):
    return Setting(name="share", type=kind, default=default, help="h", group="g", **limits)


@pytest.mark.parametrize("text", ["0.1", "1", "1e0", '"0.5"'])
def test_bounds_are_inclusive_unless_said_otherwise(text):
    limited = setting(above=0, maximum=1)
    assert 0 < limited.parse(text) <= 1


@pytest.mark.parametrize("text", ["0", "1.01", "nan", "-1", "x", ""])
def test_a_number_out_of_range_names_key_value_and_range(text):
    with pytest.raises(HyperparameterError) as caught:
        setting(above=0, maximum=1).parse(text)
    assert str(caught.value) == (
        f"hyperparameter 'share': expected a number > 0 and <= 1, got {caught.value.got!r}"
    )


def test_a_choice_lists_what_is_allowed():
    with pytest.raises(HyperparameterError, match=r"expected one of a \| b, got 'c'"):
        setting(str, "a", choices=("a", "b")).parse("c")


@pytest.mark.parametrize(
    ("kind", "value"), [(int, True), (int, 1.0), (bool, 1), (str, 3), (float, "0.5"), (float, True)]
)
def test_a_value_of_another_type_is_refused(kind, value):
    with pytest.raises(HyperparameterError):
        setting(kind, kind()).check(value)


def test_a_whole_number_serves_as_a_float():
    value = setting().check(1)
    assert (value, type(value)) == (1.0, float)


def test_a_dataclass_of_knobs_is_read_back_in_order():
    @dataclass(frozen=True)
    class Knobs:
        batch_size: int = knob(8, "Training", "pictures a step", minimum=1)
        pretrained: bool = knob(True, "Network", "start from weights")

    first, second = settings_of(Knobs)
    assert (first.name, first.type, first.default, first.minimum) == ("batch-size", int, 8, 1)
    assert (second.name, second.expected()) == ("pretrained", "true or false")

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


def counted(**limits):
    return setting(int, 32, minimum=1, auto=0, **limits)


@pytest.mark.parametrize("text", ["auto", "AUTO", '"auto"'])
def test_auto_is_a_word_for_a_number_outside_the_bounds(text):
    assert counted().parse(text) == 0
    assert counted().to_text(0) == "auto"
    assert counted().expected() == "a whole number >= 1, or auto"
    with pytest.raises(HyperparameterError, match="or auto, got '0'"):
        counted().parse("0")


def test_auto_is_unknown_where_the_table_does_not_offer_it():
    with pytest.raises(HyperparameterError, match="expected a whole number >= 1, got 'auto'"):
        setting(int, 32, minimum=1).parse("auto")
    with pytest.raises(HyperparameterError, match="or auto, got -1"):
        counted().parse("-1")


@pytest.mark.parametrize(
    ("kind", "value", "text"), [(bool, True, "true"), (int, 3, "3"), (float, 1e-5, "1e-05"),
                                (str, "adam", "adam")]
)  # fmt: skip
def test_what_is_written_as_text_reads_back_the_same(kind, value, text):
    assert setting(kind, value).to_text(value) == text
    assert setting(kind, value).parse(text) == value

import math

import pytest

from contract.strict import nearest, to_bool, to_float, to_int, unquote


@pytest.mark.parametrize(
    "text",
    ["adam", '"adam"', '"\\"adam\\""', ' "adam" ', '"  adam"'],
)
def test_a_word_is_unwrapped_however_often_it_was_encoded(text):
    assert unquote(text) == "adam"


@pytest.mark.parametrize("text", ["007", "1e3", '"open', '{"a": "b"}', "true", "", '"', '"a" "b"'])
def test_what_is_not_wholly_a_json_string_stays_as_typed(text):
    assert unquote(text) == text


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), ("1", True), ("on", True), ("NO", False), ("0", False)]
)
def test_words_for_true_and_false_in_any_case(text, value):
    assert to_bool(text) is value


@pytest.mark.parametrize("text", ["2", "", "maybe", "none"])
def test_other_words_are_no_truth(text):
    with pytest.raises(ValueError, match="^" + text):
        to_bool(text)


@pytest.mark.parametrize(("text", "value"), [("32", 32), ("32.0", 32), ("1e2", 100), ("-1", -1)])
def test_whole_numbers_as_tuners_write_them(text, value):
    assert to_int(text) == value
    assert type(to_int(text)) is int


@pytest.mark.parametrize("text", ["1.5", "nan", "inf", "1e400", "", "twelve", "0x10"])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own messages differ by cause
        to_int(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "a"])
def test_a_number_is_finite(text):
    with pytest.raises(ValueError):  # noqa: PT011
        to_float(text)


def test_a_number_is_read_exactly():
    assert to_float("0.1") == 0.1
    assert math.isclose(to_float("1e-3"), 0.001)


def test_the_nearest_name_is_found_and_nothing_is_forced():
    known = ["epochs", "batch-size", "lr"]
    assert nearest("epoch", known) == "epochs"
    assert nearest("bach-size", known) == "batch-size"
    assert nearest("zebra", known) is None

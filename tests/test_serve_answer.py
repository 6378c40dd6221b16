import csv
import io
import json

import numpy as np
import pytest

from contract.errors import RequestError
from contract.prediction import Prediction
from serve.answer import FORMS, negotiate, write_answer

JSON, VERBOSE, CSV, LINES, NPY = FORMS
AWKWARD = Prediction(labels=('a "b", c', "plain", "Umlaut \u00e4"), probabilities=(0.7, 0.2, 0.1))
OTHER = Prediction(labels=AWKWARD.labels, probabilities=(0.1, 0.6, 0.3))


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("Application/JSON; charset=utf-8", JSON),
        ("application/json;verbose", VERBOSE),
        ("application/json; verbose=true", VERBOSE),
        ("application/json;verbose;q=0.5, text/csv;q=0.4", VERBOSE),
        ("text/csv", CSV),
        ("text/*", CSV),
        ("application/*", JSON),
        ("application/jsonlines", LINES),
        ("application/x-ndjson", LINES),
        ("application/x-npy", NPY),
        ("text/csv;q=0.5, application/x-npy;q=0.8", NPY),
        ("text/csv, application/json", CSV),
        ("application/json, text/csv", JSON),
        ("*/*, text/csv", CSV),
        ("application/json;q=0, */*", CSV),
        ("image/png, */*;q=0.1", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
        ("text/csv;q=junk, application/x-npy;q=0.1", NPY),
    ],
)
def test_accept_chooses_the_form(accept, form):
    assert negotiate(accept, "application/json") is form


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", "garbage", "a/b/c", "*/json", ","])
def test_an_accept_that_we_cannot_meet_is_406_and_names_ours(accept):
    with pytest.raises(RequestError) as caught:
        negotiate(accept, "application/json")
    assert caught.value.status == 406
    assert "application/x-npy" in caught.value.message


def test_the_operators_default_stands_in_for_no_wish():
    assert negotiate("*/*", "text/csv") is CSV
    assert negotiate(None, "text/csv") is CSV
    assert negotiate("application/json", "text/csv") is JSON


def test_json_holds_one_prediction_a_picture_in_order():
    answer = write_answer([AWKWARD, OTHER], JSON)
    predictions = json.loads(answer.body)["predictions"]
    assert [item["label"] for item in predictions] == ['a "b", c', "plain"]
    assert [item["probability"] for item in predictions] == [0.7, 0.6]


def test_verbose_is_an_object_for_one_picture_and_a_list_for_several():
    one = json.loads(write_answer([OTHER], VERBOSE).body)
    several = json.loads(write_answer([AWKWARD, OTHER], VERBOSE).body)
    assert one["predicted_label"] == "plain"
    assert several[1] == one
    assert one["probabilities"] == [0.1, 0.6, 0.3]


def test_csv_quotes_what_needs_quotes():
    text = write_answer([AWKWARD, OTHER], CSV).body.decode()
    assert list(csv.reader(io.StringIO(text))) == [['a "b", c', "0.7"], ["plain", "0.6"]]


def test_json_lines_are_one_object_a_picture():
    lines = write_answer([AWKWARD, OTHER], LINES).body.decode().splitlines()
    assert [json.loads(line)["label"] for line in lines] == ['a "b", c', "plain"]


def test_npy_is_float32_pictures_by_labels():
    rows = np.load(io.BytesIO(write_answer([AWKWARD, OTHER], NPY).body), allow_pickle=False)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.float32([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]))


def test_a_probability_that_is_no_number_is_never_sent_as_json():
    broken = Prediction(labels=("a", "b"), probabilities=(float("nan"), 0.5))
    with pytest.raises(ValueError, match="JSON compliant"):
        write_answer([broken], JSON)

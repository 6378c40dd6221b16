"""What the learning rate finder leaves is read back and told with the next command."""

import json
from pathlib import Path

import pytest

from contract.errors import SpecError
from contract.opt_ml import OptMl
from contract.ranges import read_ranges
from control.lr_advice import advice_text, read_lr_advice

LEFT = {"suggested": 0.0123456, "range": [0.001, 0.05], "picture": "lr_finder.png"}


@pytest.fixture
def left(tmp_path):
    """Write lr_finder.json into a run's folder, as training does."""
    path = OptMl(tmp_path).output_data_dir / "lr_finder.json"
    path.parent.mkdir(parents=True)

    def write(data):
        path.write_text(json.dumps(data))
        return tmp_path

    return write


def test_the_advice_is_a_value_a_range_to_search_and_a_picture(left):
    advice = read_lr_advice(left(LEFT))
    shown = advice_text(advice, Path("dogs.toml"))
    assert "next:    kennel run dogs.toml --set lr=0.0123" in shown
    more = advice_text(advice, Path("dogs.toml"), " --channel train=dogs")
    assert more.endswith("next:    kennel run dogs.toml --set lr=0.0123 --channel train=dogs")
    assert "lr = { min = 0.001, max = 0.05 }" in shown
    assert advice.picture.name == "lr_finder.png"
    assert advice.to_json()["range"] == [0.001, 0.05]
    assert read_ranges({"lr": {"min": advice.low, "max": advice.high}})


def test_where_no_rate_is_better_none_is_named(left):
    advice = read_lr_advice(left({**LEFT, "suggested": None, "range": None}))
    assert "none is suggested" in advice_text(advice, Path("dogs.toml"))
    assert "--set" not in advice_text(advice, Path("dogs.toml"))
    assert (advice.to_json()["suggested"], advice.to_json()["range"]) == (None, None)


@pytest.mark.parametrize("data", [{}, [], {**LEFT, "range": [1]}, {**LEFT, "suggested": "fast"}])
def test_advice_of_another_kind_is_refused(left, data):
    with pytest.raises(SpecError, match="not one we know"):
        read_lr_advice(left(data))


def test_no_advice_is_no_file(tmp_path):
    with pytest.raises(SpecError, match="does not exist"):
        read_lr_advice(tmp_path)

"""The demo's data set: real digits, split once and for all."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from control.digits import write_digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The data set, written once."""
    return write_digits(tmp_path_factory.mktemp("demo") / "digits")


def test_every_digit_is_written_once_under_its_label(digits):
    target = load_digits().target
    labels = {int(path.stem): int(path.parent.name) for path in digits.rglob("*.png")}
    assert labels == dict(enumerate(target))


def test_the_splits_hold_every_class_in_their_shares(digits):
    counts = Counter(path.parts[-3] for path in digits.rglob("*.png"))
    assert counts["test"] / 1797 == pytest.approx(0.15, abs=0.01)
    assert counts["validation"] / 1797 == pytest.approx(0.15, abs=0.01)
    assert all(len(list((digits / split).iterdir())) == 10 for split in counts)


def test_a_picture_shows_its_digit(digits):
    path = next(iter(sorted(digits.glob("train/3/*.png"))))
    with Image.open(path) as picture:
        assert (picture.size, picture.mode) == ((32, 32), "L")
        small = np.asarray(picture.resize((8, 8), Image.Resampling.BOX), dtype=float)
    original = load_digits().images[int(path.stem)]
    assert np.corrcoef(small.ravel(), original.ravel())[0, 1] > 0.98


def test_the_same_seed_gives_the_same_split(digits, tmp_path):
    again = write_digits(tmp_path / "digits")
    first, second = (
        sorted(path.relative_to(root) for path in root.rglob("*.png")) for root in (digits, again)
    )
    assert first == second


def test_an_existing_data_set_is_left_alone(tmp_path):
    (tmp_path / "digits").mkdir()
    assert list(write_digits(tmp_path / "digits").iterdir()) == []

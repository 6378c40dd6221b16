import json
import random
from pathlib import Path

import pytest

from train.data import Picture, Split
from train.holdout import hold_out, write_holdout


def split_of(*counts: int, root: str = "/data") -> Split:
    return Split(
        name="train",
        pictures=tuple(
            Picture(path=Path(f"{root}/{index}/{number}.jpg"), class_index=index)
            for index, count in enumerate(counts)
            for number in range(count)
        ),
    )


def counts(split: Split, num_classes: int) -> list[int]:
    indices = [picture.class_index for picture in split.pictures]
    return [indices.count(index) for index in range(num_classes)]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.2, [0, 1, 1, 1, 2, 20]), (0.5, [0, 1, 2, 2, 5, 50]), (0.99, [0, 1, 2, 3, 9, 99])],
)
def test_every_class_gives_its_share_and_keeps_at_least_one(share, expected):
    split = split_of(1, 2, 3, 4, 10, 100)
    train, validation = hold_out(split, share, 0)
    assert counts(validation, 6) == expected
    assert set(train.pictures) | set(validation.pictures) == set(split.pictures)
    assert len(train) + len(validation) == len(split)
    assert (train.name, validation.name) == ("train", "validation")


def test_the_draw_ignores_the_order_and_the_place_of_the_folder():
    split = split_of(20, 30)
    mixed = list(split.pictures)
    random.Random(1).shuffle(mixed)
    _, first = hold_out(split, 0.3, 7)
    _, second = hold_out(Split(name="train", pictures=tuple(mixed)), 0.3, 7)
    _, moved = hold_out(split_of(20, 30, root="/elsewhere/deep"), 0.3, 7)
    assert set(first.pictures) == set(second.pictures)
    assert [p.path.name for p in first.pictures] == [p.path.name for p in moved.pictures]


def test_another_seed_draws_other_pictures():
    split = split_of(50, 50)
    assert hold_out(split, 0.2, 0)[1] != hold_out(split, 0.2, 1)[1]


def test_a_new_picture_moves_at_most_a_few_others():
    _, before = hold_out(split_of(100, 100), 0.2, 0)
    _, after = hold_out(split_of(101, 100), 0.2, 0)
    assert len(set(before.pictures) ^ set(after.pictures)) <= 2


def test_the_saved_list_names_files_below_their_folder(tmp_path):
    _, validation = hold_out(split_of(2, 2, root="/data/pets"), 0.5, 0)
    write_holdout(tmp_path / "holdout.json", validation)
    saved = json.loads((tmp_path / "holdout.json").read_text())
    assert saved["folder"] == "/data/pets"
    assert [Path(saved["folder"]) / item["file"] for item in saved["pictures"]] == [
        picture.path for picture in validation.pictures
    ]

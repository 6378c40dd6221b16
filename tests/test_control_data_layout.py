"""Splits and classes by names alone are those that training finds on the disk."""

from pathlib import Path

import pytest
from kinds import encode, rgb

from contract.errors import DataError
from contract.hyperparameters import parse_hyperparameters
from contract.job import Channel, Outputs, TrainingJob
from control.data.layout import layout_of
from control.pack_plan import visible_files
from train.channels import find_pictures

TINY = encode(rgb(8, 8), "PNG")
LAYOUTS = {
    "class folders": ["cat/1.png", "dog/1.png", "dog/deep/2.png"],
    "splits": ["train/cat/1.png", "train/dog/1.png", "valid/cat/2.png", "test/dog/2.png"],
    "other words": ["Training/cat/1.png", "Training/dog/1.png", "val/cat/2.png"],
    "wrapped": [
        "dogImages/train/cat/1.png",
        "dogImages/train/dog/1.png",
        "dogImages/test/dog/3.png",
    ],
    "wrapped classes": ["pets/cat/1.png", "pets/dog/1.png"],
    "wrapped twice": ["a/b/cat/1.png", "a/b/dog/1.png"],
    "a class called test": ["cat/1.png", "test/1.png", "train/1.png"],
    "a deep class called test": ["cat/1.png", "dog/1.png", "test/day/1.png"],
    "only train": ["train/cat/1.png", "train/dog/1.png"],
    "accents": ["cafe\u0301/1.png", "dog/1.png"],
}


def write(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(TINY)


def as_training_sees(folder: Path, work: Path) -> set[tuple[str, str, str]]:
    """(split, label, path) of every picture."""
    job = TrainingJob(
        name="pets",
        hyperparameters=parse_hyperparameters({}),
        channels={"train": Channel(name="train", path=folder)},
        outputs=Outputs(
            model_dir=work, data_dir=work, failure_file=work / "failure", checkpoint_dir=None
        ),
    )
    return {
        (split, label, str((found.root / below).relative_to(folder)))
        for split, found in find_pictures(job, work).splits.items()
        for label, below in found.entries
    }


@pytest.mark.parametrize("names", LAYOUTS.values(), ids=LAYOUTS)
def test_splits_and_labels_are_those_that_training_finds(names, tmp_path):
    write(tmp_path / "data", names)
    found = [item.name for item in visible_files(tmp_path / "data")]
    layout = layout_of(found)
    ours = {(layout.split_of(name), layout.label_of(name), name) for name in found}
    assert ours == as_training_sees(tmp_path / "data", tmp_path / "work")


def test_pictures_beside_class_folders_have_no_label():
    layout = layout_of(["cat/1.png", "dog/1.png", "3.png"])
    assert (layout.label_of("3.png"), layout.label_of("cat/1.png")) == ("", "cat")
    assert layout.counts(["3.png", "cat/1.png"]) == {"train": {"cat": 1}}


def test_two_folders_of_one_split_are_refused():
    names = ["train/a/1.png", "val/a/1.png", "valid/a/1.png"]
    with pytest.raises(DataError, match="val and valid both mean validation"):
        layout_of(names)

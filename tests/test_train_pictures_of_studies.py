"""A study compares trials of the same pictures, or none."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from studies import complete, open_study, spec_of
from training import REPOSITORY, TINY

from contract.errors import SpecError
from control.study_runs import study_path

OURS, OTHERS = {"train": "a" * 16}, {"train": "b" * 16}
STATIC = "\n".join(
    f'{name} = "{text}"' for name, text in {**TINY, "epochs": "1"}.items() if name != "lr"
)
TUNING = """
[hyperparameters]
{static}
[channels]
train = "pictures/train"
validation = "pictures/validation"
[tuning]
strategy = "Random"
objective = "validation:loss"
max_jobs = 2
[ranges]
lr = {{ min = 0.01, max = 0.02 }}
"""


def test_a_study_of_this_host_alone_refuses_other_pictures(tmp_path):
    open_study(tmp_path, spec_of()).begin({}, OURS)
    again = open_study(tmp_path, spec_of())
    again.begin({}, OURS)
    with pytest.raises(SpecError, match=r"other pictures \(train differ\)"):
        again.begin({}, OTHERS)
    assert again.pictures == OURS


def test_pictures_that_were_refused_may_change_until_a_trial_has_learnt_from_some(tmp_path):
    study = open_study(tmp_path, spec_of())
    study.begin({}, OURS)
    study.let_pictures_change()
    study.begin({}, OTHERS)
    complete(study, 1.0)  # without an epoch
    study.let_pictures_change()
    study.begin({}, OURS)


def kennel(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "control", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def studied(pictures, tmp_path_factory):
    """A study that has ended, one of whose pictures was replaced since."""
    folder = tmp_path_factory.mktemp("studied")
    shutil.copytree(pictures, folder / "pictures")
    (folder / "tiny.toml").write_text(TUNING.format(static=STATIC))
    assert kennel(folder, "tune", "tiny.toml").returncode == 0
    unchanged = kennel(folder, "tune", "tiny.toml")
    assert (unchanged.returncode, unchanged.stderr) == (0, "")
    picture = next((folder / "pictures" / "train").glob("*/*.png"))
    picture.rename(picture.with_name("another.png"))
    return folder


def test_a_study_that_has_ended_is_shown_and_says_that_its_pictures_have_changed(studied):
    for words in ((), ("--show",)):
        shown = kennel(studied, "tune", "tiny.toml", *words)
        assert shown.returncode == 0
        assert "Completed, 2 of 2 trials" in shown.stdout
        assert "the pictures of train have changed since" in shown.stderr


def test_a_parent_that_learnt_from_other_pictures_is_refused_as_identical(studied):
    child = TUNING.format(static=STATIC) + '[warm_start]\nparents = ["tiny"]\n'
    (studied / "child.toml").write_text(child)
    refused = kennel(studied, "tune", "child.toml")
    assert refused.returncode == 2
    assert "runs/0001-tiny learnt from other pictures of train" in refused.stderr
    (studied / "child.toml").write_text(child + 'type = "TransferLearning"\n')
    assert kennel(studied, "tune", "child.toml", "--show").returncode == 0


def test_a_study_of_an_archive_goes_on_until_that_has_changed(pictures, tmp_path):
    for split in ("train", "validation"):
        shutil.make_archive(str(tmp_path / split), "zip", pictures / split)
    text = TUNING.format(static=STATIC).replace("pictures/train", "train.zip")
    (tmp_path / "tiny.toml").write_text(text.replace("pictures/validation", "validation.zip"))
    assert kennel(tmp_path, "tune", "tiny.toml").returncode == 0
    more = kennel(tmp_path, "tune", "tiny.toml", "--max-jobs", "3")
    assert (more.returncode, more.stderr) == (0, "")
    assert "Completed, 3 of 3 trials" in more.stdout
    with (tmp_path / "train.zip").open("ab") as archive:
        archive.write(b"more")
    changed = kennel(tmp_path, "tune", "tiny.toml", "--max-jobs", "4")
    assert "the pictures of train have changed since this study began" in changed.stderr


def test_more_trials_on_other_pictures_are_refused_and_harm_nothing(studied):
    path = study_path(studied / "runs" / "0001-tiny")
    before = path.read_bytes()
    refused = kennel(studied, "tune", "tiny.toml", "--max-jobs", "3")
    assert refused.returncode == 2
    assert "the pictures of train have changed since this study began" in refused.stderr
    assert path.read_bytes() == before
    assert set(json.loads(before)["pictures"]) == {"train", "validation"}
    assert "Completed" in kennel(studied, "list").stdout

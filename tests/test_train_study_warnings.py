"""What a study warns of, it says once: for all workers, all trials and the bundle."""

import shutil

import pytest
from kinds import kind
from studies import study_flags
from training import COUNTS, flags

TWO = {"strategy": "Grid", "max_jobs": None, "ranges": {"lr": [0.01, 0.02]}}


@pytest.fixture
def damaged(pictures, tmp_path):
    """The data set with one picture in each split that cannot be read."""
    root = tmp_path / "damaged"
    shutil.copytree(pictures, root)
    for split in COUNTS:
        (root / split / "disc" / "zz.jpg").write_bytes(kind("jpeg")[:500])
    return root


def told_splits(output):
    """Each as often as it was told."""
    lines = [line for line in output.splitlines() if "are unreadable" in line]
    return sorted(line.removeprefix("warning: ").partition(":")[0] for line in lines)


@pytest.mark.parametrize("unfreeze", ["none", "all"])
def test_unreadable_pictures_are_told_once_whatever_reads_them(
    start_master, damaged, tmp_path, unfreeze
):
    spec = {**TWO, "max_parallel_jobs": 2}
    settings = {"epochs": "1", "unfreeze": unfreeze, "max_unreadable": "0.5"}
    master = start_master(study_flags(damaged, tmp_path / "study", spec, **settings))
    assert master.wait() == 0, master.output
    assert told_splits(master.output) == sorted(COUNTS)
    assert master.output.count("\ndata   ") == 1


def test_processes_of_one_job_tell_them_once(start_master, damaged, tmp_path):
    settings = {"epochs": "1", "unfreeze": "all", "max_unreadable": "0.5"}
    words = flags(damaged, tmp_path / "job", processes_per_host="2", **settings)
    master = start_master(words)
    assert master.wait() == 0, master.output
    assert told_splits(master.output) == sorted(COUNTS)

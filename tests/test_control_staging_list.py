"""Which keys may become files."""

from pathlib import Path

import pytest

from contract.errors import ChannelError
from control.s3 import S3Uri
from control.staging import folders_of, staged_folder
from control.staging_list import check_names

HERE = S3Uri("photos", "dogs")


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["../a.jpg"], "leads out"),
        (["cat/../../a.jpg"], "leads out"),
        (["/etc/a.jpg"], "empty part"),
        (["cat//a.jpg"], "empty part"),
        (["./a.jpg"], "leads out"),
        (["a\0b.jpg"], "leads out"),
        (["x" * 256], "longer than 255 bytes"),
        (["\u72ac" * 86], "longer than 255 bytes"),
        (["cat", "cat/a.jpg"], "is an object and a folder"),
        (["a/b/c/d.jpg", "a/b"], "is an object and a folder"),
    ],
)
def test_keys_that_cannot_be_files_are_refused(names, line):
    with pytest.raises(ChannelError, match=line):
        check_names(HERE, names)


def test_odd_keys_that_can_be_files_are_taken():
    check_names(HERE, ["cat/..a.jpg", "a b/c.jpg", "A.jpg", "a.jpg", "\u72ac\\+&?#%20.jpg", "c:d"])


def test_every_address_has_a_folder_of_its_own():
    keys = ("dogs", "dogs/", "dogs-1", "dogs/1", "", "..", "\u72ac", "a" * 500)
    folders = {staged_folder(S3Uri("photos", key), Path("runs")) for key in keys}
    assert len(folders) == len(keys)
    assert {folder.parent.parent for folder in folders} == {Path("runs/staged")}


def test_paths_stay_as_they_are():
    channels = {"train": HERE, "test": Path("test")}
    folders = folders_of(channels, Path("runs"))
    assert folders == {"train": staged_folder(HERE, Path("runs")), "test": Path("test")}

"""One master a folder, and pictures that are the same wherever they lie."""

import shutil
import threading
from contextlib import ExitStack

import pytest
from training import job_for

from contract.channel_digests import digests_of
from contract.errors import HostError
from contract.job import Channel
from train.lock import locked


def channels(folder):
    return {"train": Channel(name="train", path=folder)}


def test_a_folder_has_one_master_at_a_time(pictures, tmp_path):
    job = job_for(pictures, tmp_path)
    for _ in range(2):
        with ExitStack() as first:
            first.enter_context(locked(job))
            expected = pytest.raises(HostError, match=r"another process \(number \d+\)")
            with expected, locked(job, patience_seconds=0.3):
                pass
    with locked(job), locked(job_for(pictures, tmp_path / "elsewhere")):
        pass


def test_a_master_that_is_about_to_end_is_waited_for(pictures, tmp_path):
    job = job_for(pictures, tmp_path)
    first = ExitStack()
    first.enter_context(locked(job))
    threading.Timer(0.5, first.close).start()
    with locked(job, patience_seconds=10.0):
        pass


def test_the_same_pictures_have_the_same_digest_in_any_folder(pictures, tmp_path):
    before = digests_of(channels(pictures / "train"))
    copy = shutil.copytree(pictures / "train", tmp_path / "other" / "name")
    (copy / "again").symlink_to(copy)  # in a circle
    (copy / ".hidden").touch()
    assert digests_of(channels(copy)) == before


def test_another_name_or_size_is_another_digest(pictures, tmp_path):
    found = [digests_of(channels(pictures / "train"))["train"]]
    copy = shutil.copytree(pictures / "train", tmp_path / "copy")
    picture = next(copy.glob("*/*.png"))
    for path in (picture.rename(picture.with_name("renamed.png")), picture):
        path.write_bytes(b"much shorter")
        found.append(digests_of(channels(copy))["train"])
    assert len(set(found)) == 3


def test_a_channel_that_is_one_file_is_that_file_in_a_folder_of_its_own(tmp_path):
    found = []
    for text in ("a", "a longer one"):
        path = tmp_path / f"{len(text)}" / "pictures.zip"
        path.parent.mkdir()
        path.write_text(text)
        found.append(digests_of(channels(path)))
        assert digests_of(channels(path.parent)) == found[-1]
    assert found[0] != found[1]


def test_a_channel_of_which_each_host_has_a_part_is_not_compared(tmp_path):
    part = Channel(name="train", path=tmp_path, distribution="ShardedByS3Key")
    assert digests_of({"train": part, "pretrained": part}) == {"train": "in parts"}

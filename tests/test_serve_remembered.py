import os
from pathlib import Path

import pytest

from serve.remembered import MOST_STARTS, Remembered, scratch_folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "scratch"


def test_what_was_added_and_not_removed_is_found_by_the_next_process(folder):
    first = Remembered(folder)
    for name in ("a", "b/../c", "caf\u00e9 \n", "x" * 1024):
        first.add(name, f"/models/{len(name)}")
    first.remove("a")
    first.remove("never added")
    names = {"b/../c": "/models/6", "caf\u00e9 \n": "/models/6", "x" * 1024: "/models/1024"}
    assert Remembered(folder).entries() == names


def test_a_file_that_was_being_written_when_the_process_died_is_nothing(folder):
    Remembered(folder).add("a", "/a")
    (folder / "models" / ".b.json.12345678.tmp").write_text('{"name": "b", ')
    assert Remembered(folder).entries() == {"a": "/a"}


def test_starts_are_counted_and_old_ones_forgotten(folder):
    starts = [Remembered(folder).note_start() for _ in range(MOST_STARTS)]
    assert starts == list(range(1, MOST_STARTS + 1))
    (folder / "starts" / "1000").touch()  # in 1970
    assert Remembered(folder).note_start() == MOST_STARTS + 1


def test_a_folder_that_others_may_write_is_not_believed(folder, caplog):
    """What is in it will be loaded, and may bring code."""
    folder.mkdir()
    folder.chmod(0o777)
    remembered = Remembered(folder)
    remembered.add("a", "/a")
    assert remembered.entries() == {}
    assert list(folder.iterdir()) == []
    assert "belongs to another user" in caplog.text


def test_a_link_in_its_place_is_not_followed(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    Remembered(folder).add("a", "/a")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_disk_that_cannot_be_written_costs_the_memory_and_nothing_else(folder, caplog):
    remembered = Remembered(folder)
    (folder / "models").touch()  # no folder can be made there
    remembered.add("a", "/a")
    assert remembered.entries() == {}
    assert "replaced by one without models" in caplog.text


def test_each_start_of_the_main_process_has_a_folder_of_its_own():
    ours = scratch_folder(os.getpid())
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert ours.name == f"kennel-multi-{os.getpid()}-{started}"
    assert ours != scratch_folder(os.getppid())
    assert scratch_folder(2**31 - 1) is None

"""`kennel data pack`: pictures in a few tars, unchanged, and never half of one."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from packs import packed, shards
from serving import REPOSITORY

from contract.shards import read_shard
from control.cli import main

ODD = ["a b", "\u72ac-\u00fc", "e\u0301", "x" * 120, "quote'\"\\n", "\udcff\udcfe"]


@pytest.fixture
def pets(tmp_path):
    """Two classes of ten files with random bytes, and what else lies in folders."""
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "pets" / name / f"{number}.jpg").write_bytes(os.urandom(1000 + number))
    (tmp_path / "pets" / "notes.txt").touch()
    (tmp_path / "pets" / ".DS_Store").touch()
    return tmp_path / "pets"


def unpacked(folder, into):
    """What any tar tool makes of the shards: relative name -> bytes."""
    into.mkdir()
    for path in shards(folder):
        subprocess.run(["tar", "xf", path, "-C", into], check=True, timeout=60)
    return contents(into)


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    visible = [path for path in files if not path.name.startswith(".") and path.suffix != ".txt"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in visible}


def test_any_tar_tool_gets_the_pictures_back(pets, tmp_path):
    told = packed(pets, tmp_path / "out")
    assert unpacked(tmp_path / "out", tmp_path / "again") == contents(pets)
    assert (told["pictures"], told["left_out"]) == (20, {".txt": 1})
    assert told["bytes"] == sum(map(len, contents(pets).values()))
    assert told["shards"] == [str(path) for path in shards(tmp_path / "out")]
    sizes = [path.stat().st_size for path in shards(tmp_path / "out")]
    assert len(sizes) == 4
    assert max(sizes) - min(sizes) < 2 * 1536


def test_the_index_says_where_each_picture_is(pets, tmp_path):
    packed(pets, tmp_path / "out")
    for path in shards(tmp_path / "out"):
        data = path.read_bytes()
        with tarfile.open(path) as tar:
            plain = [item for item in tar if not item.name.startswith(".")]
        members = read_shard(path).members
        assert [(item.name, item.offset_data, item.size) for item in plain] == [
            member[:3] for member in members
        ]
        for name, offset, size, _ in members:
            assert data[offset : offset + size] == (pets / name).read_bytes()


@pytest.mark.parametrize("name", ODD)
def test_names_may_hold_anything(name, tmp_path):
    try:
        (tmp_path / "pets" / name).mkdir(parents=True)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this disk does not take such a name")
    (tmp_path / "pets" / name / f"{name}.jpg").write_bytes(b"picture")
    packed(tmp_path / "pets", tmp_path / "out")
    assert unpacked(tmp_path / "out", tmp_path / "again") == {f"{name}/{name}.jpg": b"picture"}
    (member,) = read_shard(shards(tmp_path / "out")[0]).members
    assert member.name == f"{name}/{name}.jpg"


def test_the_same_pictures_make_the_same_bytes(pets, tmp_path):
    packed(pets, tmp_path / "one")
    subprocess.run(["cp", "-r", pets, tmp_path / "copy"], check=True, timeout=60)
    packed(tmp_path / "copy", tmp_path / "two")
    for path in shards(tmp_path / "one"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_splits_get_folders_of_their_own(pictures, tmp_path):
    told = packed(pictures, tmp_path / "out", "1MB")
    assert [path.name for path in sorted((tmp_path / "out").iterdir()) if path.is_dir()] == [
        *("test", "train", "validation")
    ]
    out = tmp_path / "out"
    assert told["next"] == (
        f"kennel run JOB.toml --channel test={out}/test --channel train={out}/train "
        f"--channel validation={out}/validation"
    )


def test_show_writes_nothing(pets, tmp_path):
    packed(pets, tmp_path / "out", "8KB", "--show")
    assert not (tmp_path / "out").exists()


def test_a_second_run_writes_nothing_again(pets, tmp_path):
    packed(pets, tmp_path / "out")
    before = [path.stat().st_mtime_ns for path in shards(tmp_path / "out")]
    shards(tmp_path / "out")[2].unlink()
    packed(pets, tmp_path / "out")
    after = [path.stat().st_mtime_ns for path in shards(tmp_path / "out")]
    assert [old == new for old, new in zip(before, after, strict=True)] == [
        *(True, True, False, True)
    ]


def test_shards_of_other_pictures_stay_until_restart_is_given(pets, tmp_path, capsys):
    packed(pets, tmp_path / "out")
    (pets / "cat" / "0.jpg").write_bytes(b"other")
    assert main(["data", "pack", str(pets), str(tmp_path / "out")]) == 2
    assert "--restart to replace them" in capsys.readouterr().err
    packed(pets, tmp_path / "out", "8KB", "--restart")
    assert unpacked(tmp_path / "out", tmp_path / "again") == contents(pets)


@pytest.mark.parametrize("name", ["train.manifest", "labels/a.jsonl", "\udcff.manifest"])
def test_a_restart_removes_the_manifests_that_are_gone(pets, tmp_path, name):
    try:
        (pets / name).parent.mkdir(exist_ok=True)
        (pets / name).write_text("{}")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this disk does not take such a name")
    packed(pets, tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "{}"
    (pets / name).unlink()
    packed(pets, tmp_path / "out", "8KB", "--restart")
    assert not (tmp_path / "out" / name).exists()
    assert unpacked(tmp_path / "out", tmp_path / "again") == contents(pets)


def test_a_restart_believes_no_name_that_leads_out(pets, tmp_path):
    packed(pets, tmp_path / "out")
    (tmp_path / "thesis.manifest").touch()
    state = {"plan": "another", "manifests": ["../thesis.manifest", 7]}
    (tmp_path / "out" / ".pack.json").write_text(json.dumps(state))
    packed(pets, tmp_path / "out", "8KB", "--restart")
    assert (tmp_path / "thesis.manifest").exists()


@pytest.mark.parametrize("inside", ["others", "train", "others/train"])
def test_a_restart_leaves_other_packs_below_it(pets, tmp_path, inside):
    out = tmp_path / "out"
    packed(pets, out)
    packed(pets, out / inside, "4KB")
    before = {path: path.stat().st_mtime_ns for path in shards(out / inside)}
    packed(pets, out, "16KB", "--restart")
    assert len(shards(out)) < 4
    assert {path: path.stat().st_mtime_ns for path in shards(out / inside)} == before


def test_a_restart_removes_the_shards_of_splits_that_are_gone(pets, pictures, tmp_path):
    packed(pictures, tmp_path / "out", "1MB")
    packed(pets, tmp_path / "out", "8KB", "--restart")
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == []
    assert unpacked(tmp_path / "out", tmp_path / "again") == contents(pets)


def test_nobody_packs_into_the_split_of_another_pack(pets, pictures, tmp_path, capsys):
    packed(pets, tmp_path / "out" / "train")
    for more in ([], ["--restart"]):
        assert main(["data", "pack", str(pictures), str(tmp_path / "out"), *more]) == 2
        assert "out/train holds a pack of its own" in capsys.readouterr().err
    assert unpacked(tmp_path / "out" / "train", tmp_path / "again") == contents(pets)


def test_a_killed_pack_leaves_whole_shards_and_continues(tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    for number in range(3000):
        (tmp_path / "pets" / "cat" / f"{number}.jpg").write_bytes(os.urandom(40_000))
    out = tmp_path / "out"
    words = ["data", "pack", tmp_path / "pets", out, "--shard-bytes", "1MB"]
    child = subprocess.Popen([sys.executable, "-m", "control", *words], cwd=REPOSITORY)
    while not shards(out) and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait(60)
    counts = [read_shard(path).footer.count for path in shards(out)]
    assert len(set(counts)) == 1
    assert 0 < len(counts) < counts[0]
    packed(tmp_path / "pets", out, "1MB")
    assert [path for path in out.iterdir() if path.suffix == ".tmp"] == []
    assert sum(len(read_shard(path).members) for path in shards(out)) == 3000


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("nowhere", "out"), "is not a folder"),
        (("pets", "pets/out"), "lies in"),
        (("pets", "pets/notes.txt"), "is a file"),
        (("pets", "out", "--shard-bytes", "many"), "expected e.g. 256MB"),
        (("empty", "out"), "holds no picture"),
        (("pets", "full"), "is not empty"),
        (("linked", "out"), "leaves the folder"),
    ],
)
def test_what_cannot_be_packed_is_refused_in_one_line(pets, tmp_path, capsys, words, line):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").touch()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "a.jpg").symlink_to(pets / "cat" / "0.jpg")
    source, out, *more = words
    assert main(["data", "pack", str(tmp_path / source), str(tmp_path / out), *more]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert len(error.splitlines()) == 1

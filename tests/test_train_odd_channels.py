"""Channels as strangers send them: each is trained on, or refused in one line that says why."""

import ctypes
import json
import os
import re
import shutil
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from training import CLASSES, TINY, failure, run_job

from contract.opt_ml import write_job

# <sys/inotify.h>
NONBLOCK, OPEN, IS_FOLDER = 0o4000, 0x20, 0x40000000
CHANGES = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400  # written, created, moved, ...


@contextmanager
def watched(folders: Iterable[Path]) -> Iterator[Callable[[], list[tuple[int, str]]]]:
    """Yield what tells (event, file name) of all that anybody did in the folders since."""
    libc = ctypes.CDLL(None)
    queue = libc.inotify_init1(NONBLOCK)
    for folder in folders:
        assert libc.inotify_add_watch(queue, os.fsencode(folder), OPEN | CHANGES) >= 0

    def events() -> list[tuple[int, str]]:
        data, found = os.read(queue, 1 << 20), []
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            found.append((mask, data[16 : 16 + length].rstrip(b"\0").decode()))
            data = data[16 + length :]
        return found

    try:
        yield events
    finally:
        os.close(queue)


def empty(pictures, folder):
    folder.mkdir()


def one_class(pictures, folder):
    shutil.copytree(pictures / "train" / "disc", folder / "disc")


def bomb(pictures, folder):
    """It only says that it is one: the real ones of test_train_archive.py take their time."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "pets.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("disc/0.jpg", bytes(1_000_000))
    sizes = [size.to_bytes(4, "little") for size in (1_000_000, 2_000_000_000)]
    (folder / "pets.zip").write_bytes((folder / "pets.zip").read_bytes().replace(*sizes))


def link_out(pictures, folder):
    shutil.copytree(pictures / "train", folder)
    (folder / "disc" / "0.jpg").symlink_to("/etc/passwd")


def climbing_label(pictures, folder):
    """A class folder cannot be called so, but a manifest may say it."""
    folder.mkdir()
    with (folder / "pets.manifest").open("w") as lines:
        for name in CLASSES:
            for path in sorted((pictures / "train" / name).iterdir()):
                shutil.copy(path, folder)
                label = "../x" if name == "disc" else name
                record = {"source-ref": f"s3://pets/{path.name}", "class": label}
                lines.write(json.dumps(record) + "\n")


def climbing_member(pictures, folder):
    folder.mkdir()
    with zipfile.ZipFile(folder / "pets.zip", "w") as archive:
        archive.write(next((pictures / "train" / "disc").iterdir()), "../x/0.png")


def unknown_class(pictures, folder):
    shutil.copytree(pictures / "validation", folder)
    (folder / "disc").rename(folder / "zebra")


def no_pictures(pictures, folder):
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        (folder / name / "0.jpg").write_bytes(b"<html>")


REFUSED = [
    ("train", empty, r"channel 'train' \(.*\): expected class folders .*; found nothing"),
    ("validation", empty, r"channel 'validation' \(.*\): expected class folders .*; found nothing"),
    ("train", one_class, r"channel 'train' \(.*\): expected at least two classes, got only 'disc'"),
    ("train", bomb, r"pets\.zip .*unpacks to 2,000,000,000 bytes.* zip bomb; if that is meant, un"),
    ("train", link_out, r"'train': the link .*0\.jpg leaves the channel \(to /etc/passwd\): copy "),
    ("train", climbing_label, r"manifest, line 13: label '\.\./x': expected no slash .*; rename "),
    ("train", climbing_member, r"pets\.zip: the member '\.\./x/0\.png' would land outside: pack "),
    ("validation", unknown_class, r"'validation' .* classes that train lacks: zebra; remove them "),
    ("train", no_pictures, r"3 of 3 pictures are unreadable, first .*0\.jpg: expected a picture "),
]


def lay_out(base: Path, pictures: Path, unfreeze: str = "none", **channels: Path) -> Path:
    """A job of one epoch, all its channels in input mode FastFile."""
    places = {name: pictures / name for name in ("train", "validation")} | channels
    write_job(base, {**TINY, "epochs": "1", "unfreeze": unfreeze}, places)
    config = base / "input" / "config" / "inputdataconfig.json"
    config.write_text(config.read_text().replace('"File"', '"FastFile"'))
    return base


@pytest.mark.parametrize(
    ("channel", "make", "line"),
    REFUSED,
    ids=[f"{make.__name__}-{name}" for name, make, _ in REFUSED],
)
def test_an_odd_channel_is_refused_in_one_line(
    pictures, tmp_path, monkeypatch, channel, make, line
):
    make(pictures, tmp_path / "channel")
    base = lay_out(tmp_path / "ml", pictures, **{channel: tmp_path / "channel"})
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
    code, output = run_job([])
    reason = failure(base / "output")
    assert code == 2
    assert output.endswith(f"failed: {reason}\n")
    assert "Traceback" not in output
    assert re.search(line, reason), reason
    assert list((base / "model").iterdir()) == []


def test_validation_may_lack_classes_and_the_log_names_them(pictures, tmp_path, monkeypatch):
    one_class(pictures, tmp_path / "channel")
    base = lay_out(tmp_path / "ml", pictures, validation=tmp_path / "channel")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
    code, output = run_job([])
    assert code == 0, output
    assert "note   validation: no pictures of bars, rings\n" in output
    assert (base / "model" / "bundle.json").is_file()


@pytest.mark.parametrize("unfreeze", ["none", "all"])
def test_a_streamed_channel_is_read_once_and_never_written_to(
    pictures, tmp_path, monkeypatch, unfreeze
):
    """FastFile fetches a picture from S3 at every open, and refuses to write."""
    data = shutil.copytree(pictures, tmp_path / "data", ignore=shutil.ignore_patterns("test"))
    base = lay_out(tmp_path / "ml", data, unfreeze)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
    with watched([data, *data.glob("*"), *data.glob("*/*/")]) as events:
        code, output = run_job([])
        seen = events()
    assert code == 0, output
    assert {mask & ~IS_FOLDER for mask, _ in seen} == {OPEN}
    opened = Counter(name for mask, name in seen if not mask & IS_FOLDER)
    assert opened.keys() == {path.name for path in data.glob("*/*/*")}
    assert {opened[path.name] for path in data.glob("train/*/*")} == {1}
    # Some of validation are opened again: 256 at most to measure the bundle's variants on, and
    # the worst mistakes for the report.
    assert max(opened.values()) <= 3

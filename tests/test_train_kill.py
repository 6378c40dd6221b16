"""kill -9 and full disks: what was whole stays whole, and the next start goes on from it."""

import itertools
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import torch
from training import WAIT_SECONDS, failure, flags, run_job

from classifier.bundle import read_bundle, write_bundle
from classifier.classifier import Classifier
from contract.errors import HostError
from contract.files import remove_leftovers
from contract.manifest import Manifest, Preprocess, Probe
from train.checkpoint import CHECKPOINT_NAME, Checkpoint, read_checkpoint, write_checkpoint
from train.storage import copy_file

MOMENTS = 10
BUNDLE_FILES = ("model.safetensors", "model.xml")
SIZE = 3000


def write_numbered_bundle(folder: Path, number: int) -> None:
    """Every file of it, and its manifest, say the number."""
    manifest = Manifest(
        arch="a",
        labels=("x",),
        preprocess=Preprocess(resize_px=8, crop_px=8),
        probe=Probe(probabilities=(1.0,)),
        files={},
        provenance={"number": number},
    )
    sources = {name: folder.with_name(f"{name}.new") for name in BUNDLE_FILES}
    for source in sources.values():
        source.write_bytes(bytes([number % 251]) * SIZE)
    write_bundle(folder, manifest, sources)


def number_of_bundle(folder: Path) -> int:
    bundle = read_bundle(folder)
    number: int = bundle.manifest.provenance["number"]
    for name in BUNDLE_FILES:
        assert (bundle.folder / name).read_bytes() == bytes([number % 251]) * SIZE
    return number


def write_numbered_checkpoint(folder: Path, number: int) -> None:
    tensors = {"a": torch.full((SIZE,), number % 251, dtype=torch.uint8)}
    write_checkpoint(folder, Checkpoint(fingerprint={}, state={"number": number}, tensors=tensors))


def number_of_checkpoint(folder: Path) -> int:
    checkpoint = read_checkpoint(folder, {})
    assert checkpoint is not None
    number: int = checkpoint.state["number"]
    assert torch.equal(
        checkpoint.tensors["a"], torch.full((SIZE,), number % 251, dtype=torch.uint8)
    )
    return number


KINDS = {
    "bundle": (write_numbered_bundle, number_of_bundle),
    "checkpoint": (write_numbered_checkpoint, number_of_checkpoint),
}


def dies_at(operation: int, work: Callable[[], None]) -> bool:
    """Do the work in a child that kills itself before its n-th file operation; did it get there?"""
    child = os.fork()
    if child == 0:
        operations = itertools.count(1)

        def watch(event: str, _arguments: tuple[object, ...]) -> None:
            is_file = event == "open" or event.startswith(("os.", "shutil.", "tempfile."))
            if is_file and next(operations) == operation:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(watch)
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of fork, since Python 3.12
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tidied", [True, False], ids=["tidy", "after-other-kills"])
def test_killed_before_any_file_operation_the_old_or_the_new_one_is_read(tmp_path, kind, tidied):
    write, number_of = KINDS[kind]
    folder, first = tmp_path / "folder", tmp_path / "first"
    write(first, 0)
    shutil.copytree(first, folder)
    before, died, number = 0, True, 0
    while died:
        number += 1
        died = dies_at(number, lambda number=number: write(folder, number))  # type: ignore[misc]
        after = number_of(folder)
        assert after in (before, number)
        before = after
        if died and tidied:
            shutil.rmtree(folder)
            shutil.copytree(first, folder)
            before = 0
    assert after == number > 5
    remove_leftovers(folder)
    assert [path.name for path in folder.glob(".*")] == []


def train_logged(words: list[str], log: Path) -> None:
    """What `python -m train` does, with its lines in a file."""
    from train.main import run

    with log.open("w", buffering=1) as sys.stdout:
        code = run(words)
    os._exit(code)


def started(words: list[str], log: Path) -> multiprocessing.process.BaseProcess:
    """A training process that a server forked which has imported torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train.process", "matplotlib.figure", "openvino"])
    process = context.Process(target=train_logged, args=(words, log))
    process.start()
    return process


def wait_until_it_trains(process: multiprocessing.process.BaseProcess, log: Path) -> str:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        text = log.read_text() if log.exists() else ""
        if text.count("\nepoch ") >= 2:
            return text
        assert process.is_alive(), text
        time.sleep(0.01)
    raise AssertionError(f"no epoch ended: {text}")


def test_a_job_killed_at_ten_moments_leaves_what_can_be_read_and_resumed(pictures, tmp_path):
    """A stop makes it save its checkpoint and its bundle at once; the kill comes in between."""
    words = flags(pictures, tmp_path, epochs="100000", early_stopping_patience="0")
    words += ["--checkpoint-dir", str(tmp_path / "checkpoints")]
    moments, seconds = random.Random(20240229), 0.0
    for moment in range(MOMENTS + 1):
        process = started(words, log := tmp_path / f"{moment}.log")
        try:
            text = wait_until_it_trains(process, log)
            begun = time.monotonic()
            os.kill(process.pid, signal.SIGTERM)
            if moment == 0:  # undisturbed: what there is to lose, and how long it takes
                process.join(WAIT_SECONDS)
                seconds = time.monotonic() - begun
                assert process.exitcode == 0, log.read_text()
            else:
                assert "resume at epoch" in text
                process.join((moment - 1 + moments.random()) * seconds / MOMENTS)
        finally:
            process.kill()
            process.join(WAIT_SECONDS)
        assert (tmp_path / "checkpoints" / CHECKPOINT_NAME).is_file()
        Classifier.load(tmp_path / "model")


@contextmanager
def largest_file(max_bytes: int) -> Iterator[None]:
    """The system fails writes beyond it, as a full disk does; test_container_spot.py has one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_bundle_that_does_not_fit_is_one_line_and_the_older_one_stays(
    pictures, tiny_bundle, tmp_path
):
    model = shutil.copytree(tiny_bundle, tmp_path / "model")
    with largest_file(4_000_000):
        code, output = run_job(flags(pictures, tmp_path, epochs="1"))
    reason = failure(tmp_path / "output")
    assert (code, output.splitlines()[-1]) == (1, f"failed: {reason}")
    # The first file that is too large may be that of the graph the bundle is made of.
    assert re.fullmatch(
        r"cannot write /\S+: .+; (raise the limit on file sizes .+|.+ job a larger volume)",
        reason,
    )
    assert Classifier.load(model).manifest == read_bundle(tiny_bundle).manifest
    assert list(model.glob(".*")) == []


def test_a_study_whose_copy_does_not_fit_is_one_line_and_the_older_one_stays(tmp_path):
    """SQLite has words of its own for a full disk, and they are no OSError."""
    study, copy = tmp_path / "study.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(study)) as database:
        database.execute("CREATE TABLE trials (name TEXT)")
        database.commit()
        copy_file(study, copy)
        before = copy.read_bytes()
        database.execute("INSERT INTO trials VALUES (?)", ("x" * 100_000,))
        database.commit()
    with largest_file(20_000), pytest.raises(HostError, match=r"cannot write \S+/copy\.db: "):
        copy_file(study, copy)
    assert copy.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "study.db"]


def test_a_checkpoint_that_does_not_fit_leaves_the_older_one(tmp_path):
    write_numbered_checkpoint(tmp_path, 1)
    with largest_file(SIZE), pytest.raises(HostError, match=r"cannot write .*: File too large; "):
        write_numbered_checkpoint(tmp_path, 2)
    assert number_of_checkpoint(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_NAME]

"""What lies in the folder of saved tensors: after a stop and a resume, another run, an error."""

import logging
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from recording import (
    LOSS,
    STEPS,
    Saved,
    collection,
    hook_for,
    record,
    recorder_for,
    state_for,
)

from contract.errors import HostError
from train.loop import Progressing, fit
from train.resume import restore, snapshot
from train.stop import Stop
from train.watch import Watch

HOOK = hook_for("weights", "gradients", save_interval="1")
WEIGHT = "Small_first.weight"


def stopped_after(state, batches) -> None:
    """Train until the signal comes, after so many batches."""
    stop, seen = Stop(), []

    def count(size: int) -> None:
        seen.append(size)
        stop.signalled = len(seen) == batches

    fit(state, stop, Progressing(on_images=count))


def session(folder, checkpoint=None, batches=None, hook=HOOK):
    """One start of a job, from a checkpoint, up to a signal; returns the next checkpoint."""
    recorder = recorder_for(folder, hook)
    state = state_for(Watch(recorder))
    if checkpoint is not None:
        restore(state, checkpoint)
    try:
        stopped_after(state, batches)
    finally:
        recorder.close()
    return snapshot(state, {})


@pytest.mark.parametrize("batches", [1, 3, STEPS, STEPS + 2])
def test_a_resumed_run_goes_on_with_one_series(tmp_path, batches):
    """Also when the signal came just before, or within, an evaluation."""
    record(tmp_path / "whole", HOOK)
    parts = tmp_path / "parts"
    checkpoint = session(parts, batches=batches)
    assert (parts / "training_job_end.ts").is_file()
    session(parts, checkpoint)
    whole, saved = Saved(tmp_path / "whole"), Saved(parts)
    assert saved.trial.steps() == whole.trial.steps()
    for mode in ("train", "eval"):
        assert saved.steps(mode) == whole.steps(mode)
        for step in whole.steps(mode):
            assert saved.names(mode, step) == whole.names(mode, step)
            for name in (LOSS, WEIGHT):
                assert np.array_equal(saved(name, step, mode), whole(name, step, mode))


def test_while_a_resumed_run_goes_on_it_has_no_mark_of_its_end(tmp_path):
    checkpoint = session(tmp_path, batches=2)
    recorder = recorder_for(tmp_path, HOOK)
    state = state_for(Watch(recorder))
    restore(state, checkpoint)
    seen = []
    fit(
        state,
        Stop(),
        Progressing(on_images=lambda _: seen.append((tmp_path / "training_job_end.ts").exists())),
    )
    recorder.close()
    recorder.close()
    assert not any(seen)
    assert (tmp_path / "training_job_end.ts").is_file()


def test_steps_after_the_checkpoint_of_a_killed_run_are_taken_again(tmp_path):
    """It saved tensors up to its death, and a checkpoint before."""
    checkpoint = session(tmp_path, batches=2)
    session(tmp_path, checkpoint, batches=3)  # nobody saw its checkpoint
    (tmp_path / "events/000000000099").mkdir()
    (tmp_path / "events/000000000099/000000000099_worker_0.tfevents.tmp").write_bytes(b"half")
    (tmp_path / "index/000000000/000000000099_worker_0.json.tmp").write_text("{")
    (tmp_path / "claim.smd").touch()
    session(tmp_path, checkpoint, batches=1)
    assert Saved(tmp_path).steps("train") == [0, 1, 2]
    assert not list(tmp_path.rglob("*.tmp")) + list(tmp_path.rglob("*99*"))


def test_a_new_run_leaves_nothing_of_an_earlier_one(tmp_path):
    record(tmp_path, hook_for("weights", "biases", save_interval="1"), epochs=3)
    (tmp_path / "notes.txt").write_text("the user's own")
    record(tmp_path, hook_for("gradients", save_interval="4"), epochs=1)
    saved = Saved(tmp_path)
    assert (saved.steps("train"), saved.steps("eval")) == ([0], [0])
    assert WEIGHT not in saved.names("train", 0)
    assert (tmp_path / "notes.txt").exists()


@contextmanager
def no_file_larger_than(num_bytes: int) -> Iterator[None]:
    """A write beyond it fails as one on a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_cannot_take_more_ends_the_saving_and_not_the_training(tmp_path, caplog):
    """The evaluation, which saves more than a training step, does not fit any more."""
    quiet = state_for()
    fit(quiet, Stop(), Progressing())
    hook = hook_for(collection("weights", train__save_interval="100"), save_interval="1")
    with no_file_larger_than(1500), caplog.at_level(logging.INFO):
        state = record(tmp_path, hook)
    assert len(state.rows) == 2
    for name, tensor in quiet.best_state.items():
        assert torch.equal(state.best_state[name], tensor)
    (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert "training goes on: cannot write" in line
    assert "File too large" in line
    assert "worker_0: cannot write" in (tmp_path / "FAILED").read_text()
    assert (tmp_path / "training_job_end.ts").is_file()
    assert list(tmp_path.rglob("*.tmp")) == []


def test_after_a_failure_the_next_run_starts_clean(tmp_path):
    with no_file_larger_than(1000):
        record(tmp_path, HOOK)
    assert (tmp_path / "FAILED").is_file()
    record(tmp_path, HOOK)
    assert not (tmp_path / "FAILED").exists()
    assert Saved(tmp_path).steps("train") == list(range(2 * STEPS))


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (hook_for(collection("mine")), "mine"),  # no regex
        (hook_for(collection("mine", include_regex="(")), "error: missing )"),
        (hook_for(save_interval="often"), "expected a number >= 1 or auto, got 'often'"),
        (hook_for(collection("weights", reductions="median")), "reductions can only be one of"),
        (hook_for(train__save_interval="0"), "expected a number >= 1 or auto, got '0'"),
    ],
)
def test_a_configuration_that_is_wrong_is_told_and_trains(tmp_path, caplog, hook, reason):
    assert len(record(tmp_path, hook).rows) == 2
    (line,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert reason in line.getMessage()
    assert line.exc_info is not None
    assert reason in (tmp_path / "FAILED").read_text()


def test_a_folder_that_cannot_be_made_is_told_and_trains(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert len(record(tmp_path / "file" / "tensors", HOOK).rows) == 2
    (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert "tensors: switched off, training goes on: cannot write" in line


def test_a_lost_host_is_heard_wherever_it_is_noticed(tmp_path):
    """Such errors come out of a signal handler, at any line of ours."""
    recorder = recorder_for(tmp_path, HOOK)

    class Lost(torch.nn.Linear):
        def named_parameters(self, *_, **__):
            raise HostError("algo-2 was lost")

    state = state_for(module=torch.nn.Linear(4, 3))
    state.task.module, state.watch = Lost(4, 3), Watch(recorder)
    with pytest.raises(HostError, match="algo-2"):
        fit(state, Stop(), Progressing())
    recorder.close()

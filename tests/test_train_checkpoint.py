import os
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file
from training import tiny_run

from contract.errors import JobError
from train.checkpoint import (
    CHECKPOINT_NAME,
    Checkpoint,
    read_checkpoint,
    with_prefix,
    without_prefix,
    write_checkpoint,
)
from train.loop import Progressing, fit
from train.resume import Checkpoints
from train.stop import Stop

HEAD = {"epochs": "4", "mixup": "0.3", "balance": "sampler", "views": "2"}
NETWORK = {
    "epochs": "3",
    "unfreeze": "all",
    "lr": "0.002",
    "augment": "crop_color_transform",
    "random_erasing": "0.5",
    "ema_decay": "0.8",
    "gradient_accumulation": "2",
    "early_stopping_patience": "0",
}
SETTINGS = {
    "head": HEAD,
    "head-adam": {**HEAD, "optimizer": "adam"},
    "network": NETWORK,  # squeezenet has dropout
    "network-rmsprop": {**NETWORK, "optimizer": "rmsprop", "arch": "shufflenet_v2_x0_5"},
    "last-stage": {"arch": "mnasnet0_5", "epochs": "2", "unfreeze": "last-stage"},
}


def checkpoints_for(run, folder):
    return Checkpoints(folder, run.start.values, run.data)


def train(run, folder, *, stop_after=None):
    """Train, saving as process.py does; after so many steps a signal arrives."""
    checkpoints = checkpoints_for(run, folder)
    resumed = checkpoints.resume(run.state)
    stop, done = Stop(), 0

    def on_images(count):
        nonlocal done
        done += 1
        if done == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    with stop.on_signals():
        fit(run.state, stop, Progressing(on_images=on_images, save=checkpoints.save))
    return resumed


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("steps", [3, 6])
def test_a_run_that_was_stopped_continues_to_the_same_bits(pictures, tmp_path, name, steps):
    whole = tiny_run(pictures, tmp_path, **SETTINGS[name])
    assert train(whole, None) is False
    first = tiny_run(pictures, tmp_path, **SETTINGS[name])
    train(first, tmp_path / "checkpoints", stop_after=steps)
    # Gradients that are being accumulated are finished first.
    assert 0 <= (first.state.epoch - 1) * 5 + first.state.step - steps <= 1
    again = tiny_run(pictures, tmp_path, **SETTINGS[name])
    assert train(again, tmp_path / "checkpoints") is True
    assert_same(whole.state.task.module.state_dict(), again.state.task.module.state_dict())
    assert_same(whole.state.best_state, again.state.best_state)
    assert [numbers(row) for row in whole.state.rows] == [numbers(row) for row in again.state.rows]


def assert_same(left, right):
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def numbers(row):
    speed = "train:images_per_second"
    return row.epoch, {name: value for name, value in row.metrics.items() if name != speed}


def saved(pictures, tmp_path, **changes):
    run = tiny_run(pictures, tmp_path, **changes)
    checkpoints_for(run, tmp_path / "checkpoints").save(run.state, True)
    return tmp_path / "checkpoints"


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"lr": "0.5"}, "lr"), ({"seed": "1"}, "seed"), ({"validation_split": "0.5"}, "validation_")],
)
def test_a_checkpoint_of_other_settings_is_refused_by_name(pictures, tmp_path, changes, named):
    folder = saved(pictures, tmp_path)
    other = tiny_run(pictures, tmp_path, **changes)
    with pytest.raises(JobError, match=rf"belongs to another run \({named}.* differ\)"):
        checkpoints_for(other, folder).resume(other.state)


def test_a_checkpoint_of_other_pictures_is_refused(pictures, tmp_path):
    folder = saved(pictures, tmp_path)
    run = tiny_run(pictures, tmp_path)
    fewer = type(run.data.train)(name="train", pictures=run.data.train.pictures[1:])
    data = type(run.data)(
        labels=run.data.labels,
        train=fewer,
        validation=run.data.validation,
        test=None,
        held_out=False,
        notes=(),
    )
    with pytest.raises(JobError, match=r"\(pictures differ\)"):
        Checkpoints(folder, run.start.values, data).resume(run.state)


def test_the_number_of_workers_and_the_time_budget_may_change(pictures, tmp_path):
    folder = saved(pictures, tmp_path)
    other = tiny_run(pictures, tmp_path, num_workers="2", max_train_seconds="60")
    assert checkpoints_for(other, folder).resume(other.state) is True


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "foreign", "header"])
def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line(pictures, tmp_path, damage):
    path = saved(pictures, tmp_path) / CHECKPOINT_NAME
    if damage == "foreign":
        save_file({"weight": torch.zeros(2)}, path)
    elif damage == "header":
        save_file(load_file(path), path, {"format": "1", "fingerprint": "{", "state": ""})
    else:
        data = path.read_bytes()
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"hello"}[damage])
    run = tiny_run(pictures, tmp_path)
    with pytest.raises(JobError, match="checkpoint") as caught:
        checkpoints_for(run, path.parent).resume(run.state)
    assert "\n" not in str(caught.value)


def test_without_a_checkpoint_a_run_begins_afresh(tmp_path):
    assert read_checkpoint(tmp_path, {}) is None


def test_a_checkpoint_is_read_back_bit_by_bit(tmp_path):
    tensors = {"a": torch.randn(3), "b.c": torch.tensor(7)}
    state = {"epoch": 2, "sums": [0.1, 1 / 3, 5.0]}
    write_checkpoint(tmp_path, Checkpoint(fingerprint={"lr": 0.1}, state=state, tensors=tensors))
    got = read_checkpoint(tmp_path, {"lr": 0.1})
    assert got.state == state
    assert_same(got.tensors, tensors)


def test_prefixes_come_and_go():
    tensors = {"weight": torch.zeros(1), "a.b": torch.ones(1)}
    both = {**with_prefix("module", tensors), "modules.x": torch.zeros(1)}
    assert_same(without_prefix("module", both), tensors)


def test_a_checkpoint_is_not_written_too_often(pictures, tmp_path):
    run = tiny_run(pictures, tmp_path)
    checkpoints = checkpoints_for(run, tmp_path / "checkpoints")
    checkpoints.save(run.state, False)
    assert not (tmp_path / "checkpoints").exists()
    checkpoints.save(run.state, True)
    assert (tmp_path / "checkpoints" / CHECKPOINT_NAME).is_file()


def test_signal_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop()
    with stop.on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signalled
    assert signal.getsignal(signal.SIGTERM) == before

"""Kept: the best weights of one trial, so that its bundle can be made without training again."""

from dataclasses import asdict
from pathlib import Path

from train.checkpoint import (
    Checkpoint,
    read_checkpoint,
    with_prefix,
    without_prefix,
    write_checkpoint,
)
from train.data import JobData
from train.loop import Fit
from train.metrics_file import EpochRow
from train.resume import fingerprint_of


def write_kept(folder: Path, state: Fit, data: JobData) -> None:
    """Leave the best epoch's weights and all epochs' figures. Raises HostError."""
    write_checkpoint(
        folder,
        Checkpoint(
            fingerprint=fingerprint_of(state.values, data),
            state={"best_epoch": state.best_epoch, "rows": [asdict(row) for row in state.rows]},
            tensors=with_prefix("best", state.best_state),
        ),
    )


def read_kept(folder: Path, state: Fit, data: JobData) -> bool:
    """Put them into a fresh Fit, as if it had just been trained. False: there are none.

    Raises JobError: they are damaged, or belong to other data.
    """
    checkpoint = read_checkpoint(folder, fingerprint_of(state.values, data))
    if checkpoint is None:
        return False
    device = state.device.torch
    tensors = {name: value.to(device) for name, value in checkpoint.tensors.items()}
    state.best_state = without_prefix("best", tensors)
    state.best_epoch = checkpoint.state["best_epoch"]
    state.rows = [EpochRow(**row) for row in checkpoint.state["rows"]]
    state.epoch = len(state.rows) + 1
    return True

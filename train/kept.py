"""Kept: the best weights of one trial, so that its bundle can be made without training again."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open

from train.checkpoint import (
    CHECKPOINT_NAME,
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

_KEPT = "kept"


def has_kept(folder: Path, num_epochs: int | None) -> bool:
    """Whether weights of a trial that came so far are there; None: however far."""
    try:
        with safe_open(folder / CHECKPOINT_NAME, framework="pt") as file:
            state = json.loads((file.metadata() or {}).get("state", "{}"))
    except (SafetensorError, OSError):
        return False
    is_whole = num_epochs in (None, len(state.get("rows", ())))
    return is_whole and bool(state.get(_KEPT, False))


def write_kept(folder: Path, state: Fit, data: JobData) -> None:
    """Leave the best epoch's weights and all epochs' figures. Raises HostError."""
    write_checkpoint(
        folder,
        Checkpoint(
            fingerprint=fingerprint_of(state.values, data),
            state={
                _KEPT: True,  # what a run saves of itself on its way looks alike
                "best_epoch": state.best_epoch,
                "rows": [asdict(row) for row in state.rows],
            },
            tensors=with_prefix("best", state.best_state),
        ),
    )


def read_kept(folder: Path, state: Fit, data: JobData) -> bool:
    """Put them into a fresh Fit, as if it had just been trained. False: there are none.

    Raises JobError: they are damaged, or belong to other data.
    """
    checkpoint = read_checkpoint(folder, fingerprint_of(state.values, data))
    if checkpoint is None or not checkpoint.state.get(_KEPT):
        return False
    device = state.device.torch
    tensors = {name: value.to(device) for name, value in checkpoint.tensors.items()}
    state.best_state = without_prefix("best", tensors)
    state.best_epoch = checkpoint.state["best_epoch"]
    state.rows = [EpochRow(**row) for row in checkpoint.state["rows"]]
    state.epoch = len(state.rows) + 1
    return True

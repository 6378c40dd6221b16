"""Checkpoints of a Fit: what is saved, when, and how a run finds itself again."""

import hashlib
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from classifier.network import load_state
from contract.hyperparameters import Hyperparameters
from train.checkpoint import (
    Checkpoint,
    flatten_optimizer,
    pack_checkpoint,
    read_checkpoint,
    restore_optimizer,
    unpack_checkpoint,
    with_prefix,
    without_prefix,
    write_checkpoint,
)
from train.data import JobData
from train.group import Group
from train.loop import Fit
from train.metrics_file import EpochRow

log = logging.getLogger(__name__)

# An epoch from memory takes milliseconds: writing after each would cost more than it saves.
MIN_SECONDS_BETWEEN = 10.0
# Settings that a continued run may change: they do not touch what was computed so far.
_FREE = frozenset(
    {"num_workers", "max_train_seconds", "top_k", "processes_per_host", "rendezvous_seconds"}
)


class Checkpoints:
    """Saves and restores one run. Does nothing without a folder.

    The leader saves. The others get what it finds: their own folders may be empty, or older.
    """

    def __init__(
        self,
        folder: Path | None,
        values: Hyperparameters,
        data: JobData,
        group: Group | None = None,
    ) -> None:
        self._folder, self._group = folder, group or Group()
        self._fingerprint = fingerprint_of(values, data)
        self._last = time.monotonic()

    def resume(self, state: Fit) -> bool:
        """Continue where the checkpoint stands; True when there was one.

        Raises JobError: the checkpoint is damaged or belongs to another run.
        """
        checkpoint = self._read()
        if checkpoint is None:
            return False
        restore(state, checkpoint)
        log.info("resume at epoch %d, step %d, from %s", state.epoch, state.step, self._folder)
        return True

    def _read(self) -> Checkpoint | None:
        checkpoint = None
        if self._folder is not None and self._group.is_leader:
            checkpoint = read_checkpoint(self._folder, self._fingerprint)
        if self._group.is_alone:
            return checkpoint
        data = self._group.send(pack_checkpoint(checkpoint) if checkpoint else b"")
        return unpack_checkpoint(data, self._fingerprint) if data else None

    def save(self, state: Fit, must: bool) -> None:
        """Write the state; unless it `must` be, only when the last time is long enough ago."""
        if self._folder is None or not self._group.is_leader:
            return
        if must or time.monotonic() - self._last >= MIN_SECONDS_BETWEEN:
            write_checkpoint(self._folder, snapshot(state, self._fingerprint))
            self._last = time.monotonic()
            if must:
                log.info("checkpoint saved in %s", self._folder)


def fingerprint_of(values: Hyperparameters, data: JobData) -> dict[str, Any]:
    """What must be equal for a checkpoint to continue this run."""
    digest = hashlib.sha256()
    for split in (data.train, data.validation):
        for picture in split.pictures:
            # Names, not paths: a channel may be mounted elsewhere the next time.
            digest.update(f"{picture.path.name}\0{picture.class_index}\n".encode())
    settings = {name: value for name, value in asdict(values).items() if name not in _FREE}
    return {**settings, "labels": list(data.labels.names), "pictures": digest.hexdigest()}


def snapshot(state: Fit, fingerprint: dict[str, Any]) -> Checkpoint:
    """Everything that `restore` needs."""
    tensors = with_prefix("module", state.task.module.state_dict())
    tensors |= with_prefix("best", state.best_state)
    tensors |= flatten_optimizer(state.optimizer)
    if state.average is not None:
        tensors |= with_prefix("average", state.average.state_dict())
    return Checkpoint(
        fingerprint=fingerprint,
        state={
            "epoch": state.epoch,
            "step": state.step,
            "sums": state.sums,
            "seconds": state.seconds,
            "best_epoch": state.best_epoch,
            "rows": [asdict(row) for row in state.rows],
            "scaler": state.scaler.state_dict(),
        },
        tensors=tensors,
    )


def restore(state: Fit, checkpoint: Checkpoint) -> None:
    """Put a snapshot back into a freshly built Fit."""
    plain, device = checkpoint.state, state.device.torch
    tensors = {name: value.to(device) for name, value in checkpoint.tensors.items()}
    load_state(state.task.module, without_prefix("module", tensors))
    state.best_state = without_prefix("best", tensors)
    restore_optimizer(state.optimizer, tensors)
    if state.average is not None:
        load_state(state.average, without_prefix("average", tensors))
    state.epoch, state.step = plain["epoch"], plain["step"]
    state.sums, state.seconds = plain["sums"], plain["seconds"]
    state.best_epoch = plain["best_epoch"]
    state.rows = [EpochRow(**row) for row in plain["rows"]]
    if plain["scaler"]:
        state.scaler.load_state_dict(plain["scaler"])

"""Checkpoint: everything a run needs to go on as if it had never stopped. safetensors, atomic.

One file: tensors by name, and the plain state as JSON in the file's metadata. No pickle.
"""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from contract.errors import JobError
from contract.files import replacing

log = logging.getLogger(__name__)

CHECKPOINT_NAME = "checkpoint.safetensors"
_FORMAT = "1"


@dataclass(kw_only=True)
class Checkpoint:
    """State between two steps. `fingerprint` must match for a resume to make sense."""

    fingerprint: dict[str, Any]  # hyperparameters, data and labels of the run
    state: dict[str, Any]  # JSON: epoch, step, rows, best
    tensors: dict[str, Tensor] = field(default_factory=dict)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in `folder`. Raises HostError: full disk or not writable."""
    tensors = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in checkpoint.tensors.items()
    }
    metadata = {
        "format": _FORMAT,
        "fingerprint": json.dumps(checkpoint.fingerprint, sort_keys=True),
        "state": json.dumps(checkpoint.state),
    }
    with replacing(folder / CHECKPOINT_NAME) as temporary:
        save_file(tensors, temporary, metadata)


def read_checkpoint(folder: Path, fingerprint: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint in `folder`, or None when there is none.

    Raises JobError: it is damaged, or belongs to a run with other settings or data.
    """
    path = folder / CHECKPOINT_NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise JobError(f"{path} is damaged ({error}): delete it to start afresh") from error
    if not metadata or metadata.get("format") != _FORMAT:
        raise JobError(
            f"{path} is no checkpoint of this version of Kennel: "
            "give this job another checkpoint path, or delete the file"
        )
    theirs = json.loads(metadata["fingerprint"])
    ours = json.loads(json.dumps(fingerprint, sort_keys=True))
    if theirs != ours:
        differing = sorted(
            key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key)
        )
        raise JobError(
            f"{path} belongs to another run ({', '.join(differing)} differ): "
            "give this job another checkpoint path, or delete the file"
        )
    return Checkpoint(fingerprint=ours, state=json.loads(metadata["state"]), tensors=tensors)


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimizer state as `optimizer.<parameter index>.<name>` tensors."""
    return {
        f"optimizer.{index}.{name}": torch.as_tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `flatten_optimizer`, into a fresh optimizer over the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`{"weight": t}` to `{"prefix.weight": t}`."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix.`, without it."""
    start = len(prefix) + 1
    return {name[start:]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}

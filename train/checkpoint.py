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
from safetensors.torch import load, save, save_file
from torch import Tensor

from contract.errors import JobError
from contract.files import cannot_write, replacing

log = logging.getLogger(__name__)

CHECKPOINT_NAME = "checkpoint.safetensors"
_FORMAT = "2"  # 1: fine-tuned networks had plain heads


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
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # not an OSError, also for a full disk
            raise cannot_write(folder / CHECKPOINT_NAME, error) from error


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


def pack_checkpoint(checkpoint: Checkpoint) -> bytes:
    """State and tensors as bytes, for other processes of the same run."""
    tensors = {name: value.contiguous() for name, value in checkpoint.tensors.items()}
    return save(tensors, {"state": json.dumps(checkpoint.state)})


def unpack_checkpoint(data: bytes, fingerprint: dict[str, Any]) -> Checkpoint:
    """The inverse of `pack_checkpoint`."""
    # safetensors reads metadata from files only; the header is JSON behind its length.
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    state = json.loads(header["__metadata__"]["state"])
    return Checkpoint(fingerprint=fingerprint, state=state, tensors=load(data))


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
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = _laid_out(value, parameters[int(index)])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """`value` with the strides of its parameter.

    Fused optimizers go through the memory of both side by side, whatever the strides say: a
    channels-last weight with a contiguous momentum would be moved by other weights' momentum.
    """
    if value.shape != parameter.shape:
        return value  # a step count
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`{"weight": t}` to `{"prefix.weight": t}`."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix.`, without it."""
    start = len(prefix) + 1
    return {name[start:]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}

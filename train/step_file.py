"""StepFile: the tensors of one step on their way to disk, in smdebug's format.

It does what smdebug's FileWriter does, in the thread that calls: an error reaches the caller, and
nobody waits for a thread that has ended. Source of the format: smdebug 1.0.34's source.
"""

import json
import os
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from train.tensor_folder import TensorFolder, write_small


class Codec(Protocol):
    """The bytes of one record of an event file."""

    def record(self, name: str, array: np.ndarray) -> bytes:
        """A tensor by its name, with the step that the codec was made for."""
        ...


class StepFile:
    """Appears with `close`, the index last: whoever reads that finds the tensors."""

    def __init__(
        self, folder: TensorFolder, codec: Codec, *, mode: str, mode_step: int, step: int
    ) -> None:
        """`mode`: TRAIN or EVAL. `step`: over all modes. Raises OSError."""
        self._codec = codec
        self._path, self._index_path = folder.event_path(step), folder.index_path(step)
        self._meta = {
            "mode": mode,
            "mode_step": mode_step,
            "event_file_name": self._path.relative_to(folder.path).as_posix(),
        }
        self._tensors: list[dict[str, Any]] = []
        self._shapes: list[dict[str, Any]] = []
        self.num_bytes = 0
        self._temporary = self._path.with_name(f"{self._path.name}.tmp")
        self._temporary.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._temporary.open("wb")

    def write_tensor(self, tdata: np.ndarray, tname: str, **_: Any) -> None:
        """Called by smdebug's hook, which also names what is known here. Raises OSError."""
        record = self._codec.record(tname, tdata)
        self._file.write(record)
        self._tensors.append(
            {"tensorname": tname, "start_idx": self.num_bytes, "length": len(record)}
        )
        self.num_bytes += len(record)

    def write_shape(self, name: str, shape: tuple[int, ...], *_: Any, **__: Any) -> None:
        """Called by smdebug's hook: the shape of a tensor, saved or not."""
        self._shapes.append({"tensorname": name, "originalname": name, "shape": list(shape)})

    def flush(self) -> None:
        """Called by smdebug's hook before `close`, which does it."""

    def close(self) -> None:
        """Both files appear; without any tensor, none. Raises OSError, and then none appears."""
        if not self._tensors and not self._shapes:
            self.abandon()
            return
        index = {
            "meta": self._meta,
            "tensor_payload": self._tensors,
            "shape_payload": self._shapes,
        }
        try:
            self._file.close()
            os.replace(self._temporary, self._path)
            write_small(self._index_path, json.dumps(index))
        except OSError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Nothing appears, and the room on the disk is free again."""
        with suppress(OSError):  # what was not written yet may not fit
            self._file.close()
        for path in (self._temporary, self._path):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # other processes may have files of this step
            self._path.parent.rmdir()


def plain(tensor: Tensor, *, is_reduced: bool) -> Tensor:
    """Something that numpy knows, and that has a mean if one is asked for."""
    tensor = tensor.detach()
    is_half = tensor.is_floating_point() and tensor.element_size() < 4
    has_no_mean = is_reduced and not tensor.is_floating_point()
    return tensor.to(torch.float32) if is_half or has_no_mean else tensor

"""DebugHook: smdebug's hook, which decides what belongs to which collection, driven step by step.

The only file of `train` that imports smdebug, and only for a job with a hook configuration. What of
smdebug 1.0.34 cannot be used in a long training run, and what happens instead:

- Its import reads profilerconfig.json and may start Python's profiler: it is shown another path.
- It logs every step of its own to stdout: only its warnings pass, through our log.
- At exit it writes once more, wherever the job's folder is by then: taken back.
- A claim file silences the next run after a kill: not used, since ranks are known here.
- Its writer is a thread; a full disk ends the thread, and training waits for it for ever. And it
  calls ndarray.tostring, which numpy 2.3 has no more: StepFile writes the same bytes.
- Half precision: numpy has no bfloat16, and sums of float16 overflow: saved as float32.
- Its forward hooks count steps (also of evaluations and recomputations) and stay on the network,
  where a copy for a moving average meets them: train/taps.py puts hooks on for a saved step only.
"""

import atexit
import copy
import json
import logging
import os
import re
import struct
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from contract.stand_in import stand_in
from train.save_plan import Schedule
from train.step_file import StepFile, plain
from train.tensor_folder import TensorFolder, write_small

log = logging.getLogger(__name__)

_NOWHERE = os.path.join(os.devnull, "none")  # a path that cannot exist
# What smdebug would find by itself: the profiler's configuration is not for it, and step numbers
# of an earlier session are known from our own checkpoint.
_APART = {
    "SMPROFILER_CONFIG_PATH": _NOWHERE,
    "CHECKPOINT_CONFIG_FILE_PATH": _NOWHERE,
    "SMDEBUG_LOG_LEVEL": "error",
}
_REDUCED_BYTES = 250  # of one statistic on disk, its name included


class DebugHook:
    """Saves those tensors of a step that some collection wants."""

    def __init__(
        self, config: Mapping[str, Any], folder: TensorFolder, *, num_workers: int
    ) -> None:
        """`config`: of `smdebug_config`. Raises what smdebug does for one that is wrong."""
        self._hook = _open(config)
        self._modes = {mode.name.lower(): mode for mode in type(self._hook.mode)}
        self._hook.worker = self._hook.chief_worker = folder.worker
        self._hook._prepare_collections()
        for one in self._hook.get_collections().values():  # of those without their own, one object
            one.save_config = copy.deepcopy(one.save_config)
        self._folder, self._num_workers = folder, num_workers
        self._file: StepFile | None = None
        self._schedules: dict[str, set[Schedule]] = {}
        self._collections_of: dict[str, list[Any]] = {}
        self._due: set[Any] = set()
        self._has_exported = False
        self.saved: dict[str, int] = {}  # of the step under way: bytes by name

    def include(self, collection: str, regex: str) -> None:
        """One more for a collection that exists; before the first step."""
        self._hook.get_collection(collection).include(regex)
        self._collections_of.clear()

    @property
    def collections(self) -> dict[str, list[str]]:
        """The regexes of what is saved, by name."""
        found = sorted(self._hook._collections_to_save, key=lambda one: str(one.name))
        return {one.name: list(one.include_regex) for one in found}

    def schedule(self, collection: str, mode: str) -> Schedule:
        """When a collection is saved."""
        when = self._hook.get_collection(collection).save_config.get_save_config(self._modes[mode])
        return Schedule(
            interval=when.save_interval, start=when.start_step, end=when.end_step,
            steps=tuple(when.save_steps),
        )  # fmt: skip

    def set_interval(self, mode: str, interval: int, collections: Iterable[str]) -> None:
        """From now on, in a mode, `train` or `eval`."""
        for name in collections:
            save_config = self._hook.get_collection(name).save_config
            save_config.get_save_config(self._modes[mode]).save_interval = interval
        self._schedules.pop(mode, None)

    def next_due(self, mode: str, step: int) -> int | None:
        """The mode's first own step, from `step` on, at which something is saved."""
        if mode not in self._schedules:
            self._schedules[mode] = {
                self.schedule(one.name, mode)
                for one in self._hook._collections_to_save
                if not (mode == "eval" and one.name == "gradients")
            }
        found = (one.next(step) for one in self._schedules[mode])
        return min((one for one in found if one is not None), default=None)

    def begin(self, mode: str, step: int, global_step: int) -> None:
        """A step that is due. `step` is the mode's own; `global_step` counts over all modes."""
        hook, key = self._hook, self._modes[mode]
        hook.mode, hook.step = key, global_step
        hook.mode_steps[key] = step
        hook._collections_to_save_for_step = None
        self.saved = {}
        self._due = hook._get_collections_to_save_for_step()
        codec = _Codec(key, step, global_step)
        self._file = hook.writer = StepFile(
            self._folder, codec, mode=key.name, mode_step=step, step=global_step
        )

    @property
    def is_open(self) -> bool:
        """Between `begin` and `finish` or `abandon`."""
        return self._file is not None

    @property
    def due(self) -> frozenset[str]:
        """The collections that are saved in the step under way."""
        return frozenset(one.name for one in self._due)

    def wants(self, name: str) -> bool:
        """Whether a collection that is due in this step has a tensor of this name."""
        return any(one in self._due for one in self._of(name))

    def _of(self, name: str) -> list[Any]:
        """The collections of a name. smdebug's own search would note it as one that was saved."""
        if name not in self._collections_of:
            saved = self._hook._collections_to_save
            self._collections_of[name] = [one for one in saved if _matches(name, one)]
        return self._collections_of[name]

    def save(self, name: str, tensor: Tensor) -> None:
        """If it is wanted. Raises OSError."""
        if self._file is None or tensor.numel() == 0 or not self.wants(name):
            return
        is_reduced = any(_num_reductions(one) for one in self._of(name))
        before = self._file.num_bytes
        self._hook._save_for_tensor(name, plain(tensor, is_reduced=is_reduced))
        self.saved[name] = self._file.num_bytes - before

    def save_scalar(self, name: str, value: float) -> None:
        """With the step's file, in whatever collection. Raises OSError."""
        if self._file is not None:
            self._hook._get_collections_with_tensor(f"scalar/{name}")
            self._file.write_tensor(np.array([value]), f"scalar/{name}")

    def finish(self) -> None:
        """The step's files appear. Raises OSError."""
        self._file = None
        self._hook._close_writers()
        if not self._has_exported:  # readers wait for it, and live ones read it only once
            self.export()
            self._has_exported = True

    def abandon(self) -> None:
        """The step under way, if any, leaves nothing."""
        file, self._file = self._file, None
        self._hook.writer = None
        self._hook.scalar_cache = []
        if file is not None:
            file.abandon()

    def export(self) -> None:
        """Write which collections there are and which names they have had. Raises OSError."""
        manager = self._hook.collection_manager
        manager.set_num_workers(self._num_workers)
        write_small(self._folder.collections_path, json.dumps(manager.to_json_dict()))

    def expected_bytes(self, name: str, num_bytes: int) -> int:
        """That a tensor of `num_bytes` takes when it is saved."""
        sizes = (
            _REDUCED_BYTES * _num_reductions(one) + num_bytes * one.reduction_config.save_raw_tensor
            for one in self._of(name)
        )
        return max(sizes, default=0)

    def expected_saves(self, name: str, mode: str, total: int) -> int:
        """How often in `total` steps of a mode."""
        return max(
            (
                self.schedule(one.name, mode).count(total)
                for one in self._of(name)
                if not (mode == "eval" and one.name == "gradients")
            ),
            default=0,
        )


def _open(config: Mapping[str, Any]) -> Any:
    """smdebug's hook, of which nothing runs by itself."""
    with tempfile.TemporaryDirectory() as folder, _apart(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # distutils, and whatever else it has outlived
        stand_in("pyinstrument_cext", "setstatprofile")  # C code of a profiler that is not used
        from smdebug.pytorch import Hook, del_hook

        _tame(logging.getLogger("smdebug"))
        # pyinstrument's, which Python asks in vain, with a warning, for every import that fails.
        sys.meta_path[:] = [one for one in sys.meta_path if hasattr(one, "find_spec")]
        path = Path(folder) / "debughookconfig.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        hook = Hook.create_from_json_file(str(path))
    atexit.unregister(hook._cleanup)
    atexit.unregister(hook.profiler_config_parser.stop_post_hook_close_python_profiling)
    hook.timeline_writer.close()  # a thread
    del_hook()  # it keeps the last one
    hook.first_process = True
    if hook.tensorboard_dir is not None:
        log.warning("warning: tensors: none are written for TensorBoard, only for the Debugger")
        hook.tensorboard_dir = None
    return hook


class _Codec:
    """Records of one step: framed as TFRecord does, each a TensorFlow event with one tensor."""

    def __init__(self, mode: Any, mode_step: int, step: int) -> None:
        from smdebug.core.tfevent.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
        from smdebug.core.tfevent.util import _get_proto_dtype
        from smdebug.core.tfrecord.record_writer import CHECKSUM_MAGIC_BYTES, masked_crc32c

        self._event, self._summary, self._step = event_pb2.Event, summary_pb2.Summary, step
        self._tensor, self._shape = tensor_pb2.TensorProto, tensor_shape_pb2.TensorShapeProto
        self._dtype_of, self._checksum = _get_proto_dtype, masked_crc32c
        # smdebug's files have this in place of a checksum of the data.
        self._footer = struct.pack("I", masked_crc32c(CHECKSUM_MAGIC_BYTES))
        plugin = summary_pb2.SummaryMetadata.PluginData
        self._metadata = summary_pb2.SummaryMetadata(
            plugin_data=[
                plugin(plugin_name="mode_step", content=str(mode_step)),
                plugin(plugin_name="mode", content=str(mode.value)),
            ]
        )

    def record(self, name: str, array: np.ndarray) -> bytes:
        """One tensor, whatever its layout in memory, row by row."""
        dims = [self._shape.Dim(size=size, name=f"{name}_{size}") for size in array.shape]
        tensor = self._tensor(
            dtype=self._dtype_of(array.dtype)[1],
            tensor_content=array.tobytes(),
            tensor_shape=self._shape(dim=dims),
        )
        value = self._summary.Value(tag=name, metadata=self._metadata, tensor=tensor)
        event = self._event(summary=self._summary(value=[value]))
        event.wall_time, event.step = time.time(), self._step
        data = event.SerializeToString()
        length = struct.pack("Q", len(data))
        return b"".join((length, struct.pack("I", self._checksum(length)), data, self._footer))


@contextmanager
def _apart() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _APART}
    os.environ.update(_APART)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text


class _PassOn(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.log(record.levelno, "smdebug: %s", record.getMessage())


def _tame(logger: logging.Logger) -> None:
    """Warnings only, as lines of ours; a log file that somebody asked smdebug for stays."""
    kept = [one for one in logger.handlers if isinstance(one, logging.FileHandler)]
    logger.handlers[:] = [*kept, _PassOn()]
    logger.setLevel(logging.WARNING)


def _matches(name: str, collection: Any) -> bool:
    return any(re.search(regex, name) for regex in collection.include_regex)


def _num_reductions(collection: Any) -> int:
    config = collection.reduction_config
    kinds = (config.reductions, config.norms, config.abs_reductions, config.abs_norms)
    return sum(map(len, kinds))

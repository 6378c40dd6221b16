"""BatchTrial: how fast training steps of some size are here, and whether they fit into memory."""

import copy
import gc
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from types import TracebackType

import numpy as np
import torch

from classifier.network import set_training
from contract.host import free_memory_bytes
from train.batches import Batch, Order
from train.device import Device
from train.loop import Fit, Task, train_step
from train.start import Start

_LEFT_FREE = 0.1  # of a GPU's memory
_HOST_SHARE = 0.4  # of free memory: half of it is for decoded pictures
_TIMED_STEPS = {"cpu": 2, "cuda": 5}


class BatchTrial:
    """Does real steps, optimizer and moving average included, on a copy that is thrown away.

    Random streams are left as they were, and so is the network.
    """

    def __init__(self, start: Start, num_classes: int, device: Device) -> None:
        self._side_px, self._num_classes = start.preprocess.crop_px, num_classes
        self._device, self._values = device, start.values
        self._network = copy.deepcopy(start.network).to(device.torch)
        self._is_warm = False
        self._limit_bytes = _HOST_SHARE * free_memory_bytes()
        self._bytes_each = 0.0  # of the host's memory, for each picture of a step
        self._cleanup = ExitStack()

    def __enter__(self) -> "BatchTrial":
        devices = [torch.cuda.current_device()] if self._device.is_cuda else []
        self._cleanup.enter_context(torch.random.fork_rng(devices=devices))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()
        del self._network
        self._empty()

    def images_per_second(self, size: int) -> float | None:
        """Of steps of `size` pictures; None: too much for the memory, with some left free."""
        if not self._device.is_cuda:
            if size * self._bytes_each > self._limit_bytes:
                return None
            before = _peak_bytes()
            rate = self._measure(size)
            self._bytes_each = max(self._bytes_each, (_peak_bytes() - before) / size)
            return rate
        self._empty()
        torch.cuda.reset_peak_memory_stats()
        free, total = torch.cuda.mem_get_info()
        before = torch.cuda.memory_reserved()
        try:
            rate = self._measure(size)
        except torch.OutOfMemoryError:
            rate = None
        taken = torch.cuda.max_memory_reserved() - before
        self._empty()
        return rate if taken <= free - _LEFT_FREE * total else None

    def _measure(self, size: int) -> float:
        """The fastest of a few steps: whatever else the machine does only slows them."""
        state = Fit(task=self._task(size), values=self._values, device=self._device)
        state.task.set_training()
        (batch,) = state.task.batches.of_epoch(1)
        if self._device.is_cuda or not self._is_warm:
            self._seconds(state, batch)
            self._is_warm = True
        times = range(_TIMED_STEPS[self._device.torch.type])
        return size / min(self._seconds(state, batch) for _ in times)

    def _seconds(self, state: Fit, batch: Batch) -> float:
        started = time.perf_counter()
        train_step(state, batch, is_last=True).cpu()  # waits for the GPU
        return time.perf_counter() - started

    def _task(self, size: int) -> Task:
        return Task(
            module=self._network,
            batches=_Noise(size, self._side_px, self._num_classes),
            validate=lambda module, stop: None,
            set_training=partial(set_training, self._network),
        )

    def _empty(self) -> None:
        gc.collect()
        if self._device.is_cuda:
            torch.cuda.empty_cache()


class _Noise:
    """Epochs of one step of random pictures, which take as long as real ones."""

    def __init__(self, size: int, side_px: int, num_classes: int) -> None:
        targets = np.random.default_rng(0).integers(0, num_classes, size)
        self.order = Order(targets=targets, batch_size=size, seed=0)
        self._shape = (size, side_px, side_px, 3)

    def of_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The one step, unless it is done."""
        random, targets = np.random.default_rng(epoch), torch.from_numpy(self.order.targets)
        for _ in range(start_step, self.order.steps_per_epoch):
            pixels = random.integers(0, 256, self._shape, dtype=np.uint8)
            yield Batch(torch.from_numpy(pixels), targets, torch.arange(len(targets)), targets)


def _peak_bytes() -> int:
    """The most memory that this process ever had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

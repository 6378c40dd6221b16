"""BatchTrial: how fast training steps of some size are here, and whether they fit into memory."""

import copy
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from types import TracebackType

import numpy as np
import torch

from classifier.network import set_training
from train.batches import Batch, Order
from train.device import Device
from train.loop import Fit, Task, train_step
from train.memory import give_back_freed_memory
from train.peak import PeakMemory, is_out_of_memory, resident_now
from train.room import Room
from train.start import Start

_TIMED_STEPS = {"cpu": 2, "cuda": 5}
_FIRST = (2, 4)  # pictures of the steps that only show what a picture takes of a host's memory


class BatchTrial:
    """Does real steps, optimizer and moving average included, on a copy that is thrown away.

    Random streams are left as they were, and so is the network.
    """

    def __init__(self, start: Start, num_classes: int, device: Device, room: Room) -> None:
        self._side_px, self._num_classes = start.preprocess.crop_px, num_classes
        self._device, self._values = device, start.values
        self._network = copy.deepcopy(start.network).to(device.torch)
        self._is_warm = False
        self._limit_bytes = room.limit_bytes
        self.host_peaks: dict[int, int] = {}  # of a host's memory, by pictures of a step
        self._at_first = 0  # of a host's memory
        learning = [item for item in self._network.parameters() if item.requires_grad]
        self._gradient_bytes = sum(item.numel() * item.element_size() for item in learning)
        self._cleanup = ExitStack()

    def __enter__(self) -> "BatchTrial":
        devices = [torch.cuda.current_device()] if self._device.is_cuda else []
        self._cleanup.enter_context(torch.random.fork_rng(devices=devices))
        self._empty()
        if self._device.is_cuda:
            # A size that does not fit must not take from whoever measures beside us.
            _, total = torch.cuda.mem_get_info()
            torch.cuda.set_per_process_memory_fraction(min(1.0, self._limit_bytes / total))
            self._cleanup.callback(torch.cuda.set_per_process_memory_fraction, 1.0)
        self._at_first = resident_now()
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
        self._empty()
        if self._device.is_cuda:
            torch.cuda.reset_peak_memory_stats()
            rate = _unless_full(partial(self._measure, size))
            peak = torch.cuda.max_memory_reserved()
            self._empty()
            return rate if peak <= self._limit_bytes else None
        for few in _FIRST:
            if few < size and few not in self.host_peaks:
                self._on_host(few, partial(self._measure, few, steps=1))
        return self._on_host(size, partial(self._measure, size))

    def _on_host(self, size: int, measure: Callable[[], float]) -> float | None:
        """A host that is full kills processes, so a size that would not fit is not tried."""
        if self._expected_bytes(size) > self._limit_bytes:
            return None
        self._empty()
        with PeakMemory() as peak:
            rate = _unless_full(measure)
        if rate is None:
            return None
        self.host_peaks[size] = max(0, peak.bytes - self._at_first)
        return rate if self.host_peaks[size] <= self._limit_bytes else None

    def _expected_bytes(self, size: int) -> float:
        """By the two sizes below: pictures take as much each, weights and gradients the same."""
        if size in self.host_peaks:
            return self.host_peaks[size]
        below = sorted(known for known in self.host_peaks if known < size)
        if not below:
            return 0.0
        if len(below) == 1:
            fixed = min(self._gradient_bytes, self.host_peaks[below[0]])
            return fixed + (self.host_peaks[below[0]] - fixed) * size / below[0]
        few, many = below[-2:]
        each = max(0.0, (self.host_peaks[many] - self.host_peaks[few]) / (many - few))
        return self.host_peaks[many] + each * (size - many)

    def _measure(self, size: int, steps: int | None = None) -> float:
        """The fastest of a few steps: whatever else the machine does only slows them."""
        state = Fit(task=self._task(size), values=self._values, device=self._device)
        state.task.set_training()
        (batch,) = state.task.batches.of_epoch(1)
        if self._device.is_cuda or not self._is_warm:
            self._seconds(state, batch)
            self._is_warm = True
        times = range(steps or _TIMED_STEPS[self._device.torch.type])
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
        else:
            give_back_freed_memory()


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


def _unless_full(measure: Callable[[], float]) -> float | None:
    """None where there is not enough memory."""
    try:
        return measure()
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, torch.OutOfMemoryError) or is_out_of_memory(error):
            return None
        raise

"""Memory of a multi-model server: is there room for one more model, and giving it back."""

import ctypes
import errno
import gc
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from classifier.choice import has_nvidia_gpu
from contract.errors import BundleError, RequestError
from contract.host import free_memory_bytes
from contract.manifest import MANIFEST_NAME

MIB = 1024 * 1024
# Left free for requests: decoding one RGB picture of 64 million pixels takes about 290 MB.
HEADROOM_BYTES = 320 * MIB
# What OpenVINO takes of a bundle, measured with squeezenet1_1, mobilenet_v3_large and resnet50:
# 24, 46 and 200 MB resident for 5, 17 and 95 MB of weights. Weights are mapped, packed again for
# the chip, and for a moment there twice.
WEIGHTS_FACTOR = 2.2
BUNDLE_BYTES = 32 * MIB
# A process of its own, for models that bring code: 31 MB with Python and numpy, 350 MB with torch
# and a traced resnet18.
PROCESS_BYTES = 48 * MIB
TORCH_BYTES = 320 * MIB
# Of a GPU's memory: a bundle's weights in half precision, for a moment in float32 beside them, and
# what captured graphs and the libraries work in. A process of its own brings a CUDA context too.
# Estimates on the safe side, not measured.
GPU_WEIGHTS_FACTOR = 1.5
GPU_BUNDLE_BYTES = 384 * MIB
GPU_PROCESS_BYTES = 512 * MIB
GPU_HEADROOM_BYTES = 256 * MIB
MOST_FILES = 10_000  # looked at in a model's folder
ARCHIVES = (".gz", ".tar", ".tgz", ".zip")  # beside what was unpacked from them
# What the libraries write when malloc or the device has nothing left.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a model is expected to take, in bytes."""

    host: int
    gpu: int = 0  # where models run on one


class MemoryBudget:
    """Admits models while their estimated memory fits. Thread-safe.

    Three limits: what the container may still take, what the GPU has left, and what the operator
    set for all models together. Models that are still loading count in full against the first
    two: what they will take shows nowhere yet.
    """

    def __init__(
        self,
        budget_bytes: int = 0,
        free_bytes: Callable[[], int] = free_memory_bytes,
        gpu_free_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`gpu_free_bytes` returns None where models run on the CPU."""
        self._budget_bytes, self._free_bytes = budget_bytes, free_bytes
        self._gpu_free_bytes = gpu_free_bytes
        self._held: dict[str, Need] = {}
        self._loading: dict[str, Need] = {}
        self._lock = threading.Lock()

    @contextmanager
    def room_for(self, name: str, need: Need) -> Iterator[None]:
        """Room while the model loads; kept until `release` if it did. Raises RequestError 507."""
        with self._lock:
            self._check(need)
            self._held[name] = self._loading[name] = need
        try:
            yield
        except BaseException:
            self.release(name)
            raise
        finally:
            with self._lock:
                self._loading.pop(name, None)

    def release(self, name: str) -> None:
        """The model is gone."""
        with self._lock:
            self._held.pop(name, None)

    def _check(self, need: Need) -> None:
        loading = self._loading.values()
        free = self._free_bytes() - HEADROOM_BYTES - sum(item.host for item in loading)
        if need.host > free:
            raise _no_room(need.host, free, "this container has")
        left = self._budget_bytes - sum(item.host for item in self._held.values())
        if self._budget_bytes and need.host > left:
            raise _no_room(need.host, left, "KENNEL_MODELS_MEMORY leaves")
        gpu_free = self._gpu_free_bytes()
        if gpu_free is None:
            return
        free = gpu_free - GPU_HEADROOM_BYTES - sum(item.gpu for item in loading)
        if need.gpu > free:
            raise _no_room(need.gpu, free, "the GPU has")


def _no_room(needed: int, free: int, who: str) -> RequestError:
    return RequestError(
        507,
        f"not enough memory: the model needs about {needed // MIB:,} MiB and {who} "
        f"{max(0, free) // MIB:,} MiB; unload another model and load this one again",
    )


def bundle_need(folder: Path) -> Need:
    """Estimate for a bundle: its largest file is what the engine loads."""
    largest = max(_sizes(folder), default=0)
    return Need(
        host=int(WEIGHTS_FACTOR * largest) + BUNDLE_BYTES,
        gpu=int(GPU_WEIGHTS_FACTOR * largest) + GPU_BUNDLE_BYTES,
    )


def process_need(folder: Path) -> Need:
    """Estimate for a model in a process of its own. Without a bundle all its files count."""
    if (folder / MANIFEST_NAME).is_file():
        inside = bundle_need(folder)
        host = inside.host + PROCESS_BYTES
    else:
        total = sum(_sizes(folder))
        inside = Need(host=0, gpu=int(GPU_WEIGHTS_FACTOR * total))
        host = int(WEIGHTS_FACTOR * total) + PROCESS_BYTES
        if importlib.util.find_spec("torch") is not None:
            host += TORCH_BYTES
    return Need(host=host, gpu=inside.gpu + GPU_PROCESS_BYTES)


def gpu_free_bytes() -> int | None:
    """What a new model may take of the GPU; None where there is none that torch can use."""
    if not has_nvidia_gpu() or importlib.util.find_spec("torch") is None:
        return None
    from classifier.gpu import free_gpu_bytes  # brings in torch

    return free_gpu_bytes()


def give_back() -> None:
    """Hand freed memory back to the machine: collect, empty the GPU's cache, trim the heap."""
    gc.collect()
    torch = sys.modules.get("torch")  # never imported for this
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)


def is_out_of_memory(error: BaseException | None) -> bool:
    """True when the error, or what caused it, is that memory ran out, on the host or a GPU."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if isinstance(error, RuntimeError | BundleError) and any(
            words in str(error).lower() for words in OUT_OF_MEMORY
        ):
            return True
        error = error.__cause__
    return False


def _sizes(folder: Path) -> list[int]:
    files = (path for path in islice(folder.rglob("*"), MOST_FILES) if path.is_file())
    return [path.stat().st_size for path in files if path.suffix not in ARCHIVES]

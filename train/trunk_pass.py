"""TrunkPass: the frozen trunk over many pictures, in batches, in the engine that computes it."""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

import classifier.network
import classifier.openvino_engine
import classifier.trunk_graph
from classifier.gpu import find_gpu
from classifier.network import Network
from classifier.preprocess import Pixels
from classifier.trunk_graph import TrunkGraph
from contract.host import chip_name
from train.cache import digest_of, digest_of_code
from train.device import Device
from train.trunk_cache import versions_of

# On a CPU larger ones are not faster, and a smaller one's last batch has fewer blanks.
_TORCH_BATCH = {"cpu": 8, "cuda": 256}
_GRAPH_BATCH = 8


class Trunk(Protocol):
    """A frozen trunk, ready to compute."""

    batch_size: int
    lanes: int  # calls that may run side by side
    key: dict[str, Any] | None  # everything that its answers depend on; None: not known

    def __call__(self, images_NHWC: Pixels) -> Tensor:
        """uint8 (N, H, W, 3) to float32 (N, D)."""
        ...


class TorchTrunk:
    """The trunk on the job's device, in its precision."""

    lanes = 1

    def __init__(self, network: Network, device: Device, digest: str = "") -> None:
        """`digest`: of the trunk's weights; empty: not known."""
        self._network, self._device = network.eval(), device
        self.batch_size = _TORCH_BATCH[device.torch.type]
        self.key = None
        if digest:
            gpu = find_gpu().why if device.is_cuda else ""
            self.key = {
                "engine": "torch",
                "trunk": digest,
                "layers": digest_of(repr(network.trunk).encode()).hex(),
                "code": digest_of_code(classifier.network, sys.modules[__name__]),
                "dtype": str(device.dtype),
                "chip": gpu or chip_name(),
                "cuda": str(torch.version.cuda) if device.is_cuda else "",
                **versions_of("torch", "torchvision"),
            }

    def __call__(self, images_NHWC: Pixels) -> Tensor:
        """uint8 (N, H, W, 3) to float32 (N, D) on the device."""
        images = torch.from_numpy(images_NHWC)
        with torch.inference_mode(), self._device.autocast():
            features = self._network.features(images.to(self._device.torch, non_blocking=True))
        return features.float()


class GraphTrunk:
    """The trunk on the CPU, in the engine that will serve it."""

    batch_size = _GRAPH_BATCH

    def __init__(self, graph: TrunkGraph) -> None:
        self._graph, self.lanes = graph, graph.lanes
        self.key = None
        if graph.recipe:
            self.key = {
                "engine": "openvino",
                "graph": graph.recipe,
                "variant": graph.variant,
                "code": digest_of_code(
                    classifier.trunk_graph, classifier.openvino_engine, sys.modules[__name__]
                ),
                "chip": chip_name(),
                **versions_of("openvino"),
            }

    def __call__(self, images_NHWC: Pixels) -> Tensor:
        """uint8 (N, H, W, 3) to float32 (N, D)."""
        return torch.from_numpy(self._graph.features(images_NHWC))


class TrunkPass:
    """Takes pictures one by one and puts their features where they belong."""

    def __init__(
        self,
        trunk: Trunk,
        rows_NVD: Tensor,
        on_rows: Callable[[Sequence[int]], None] = lambda places: None,
    ) -> None:
        """`rows_NVD`: filled in place; `on_rows` hears which of its rows have been."""
        self._trunk, self._rows, self._on_rows = trunk, rows_NVD, on_rows
        self._size = max(1, trunk.batch_size // max(1, rows_NVD.shape[1]))
        self._pending: list[tuple[int, Pixels]] = []
        self._running: deque[tuple[list[int], Future[Tensor]]] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "TrunkPass":
        if self._trunk.lanes > 1:
            self._pool = ThreadPoolExecutor(self._trunk.lanes, thread_name_prefix="trunk")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Waits for all features; after an error only for those under way."""
        try:
            if kind is None:
                self._start()
                self._collect(0)
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def add(self, place: int, views_VHWC: Pixels) -> None:
        """The views of one picture, whose features go to row `place`."""
        self._pending.append((place, views_VHWC))
        if len(self._pending) >= self._size:
            self._start()

    def _start(self) -> None:
        if not self._pending:
            return
        places = [place for place, _ in self._pending]
        images = self._filled([views for _, views in self._pending])
        self._pending.clear()
        if self._pool is None:
            self._finish(places, self._trunk(images))
            return
        self._running.append((places, self._pool.submit(self._trunk, images)))
        self._collect(2 * self._trunk.lanes)  # pictures that wait take memory

    def _filled(self, pictures: list[Pixels]) -> Pixels:
        """One batch of the only size there is.

        An engine picks its kernels by the batch's size, and they differ in the last bits: features
        must not depend on how many pictures were found in a cache.
        """
        missing = self._size - len(pictures)
        blank = np.zeros_like(pictures[0])
        return np.concatenate([*pictures, *[blank] * missing])

    def _collect(self, most: int) -> None:
        while len(self._running) > most:
            places, future = self._running.popleft()
            self._finish(places, future.result())

    def _finish(self, places: list[int], features: Tensor) -> None:
        pictures = features.view(self._size, *self._rows.shape[1:])
        self._rows[places] = pictures[: len(places)]
        self._on_rows(places)

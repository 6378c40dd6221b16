"""CudaGraphs: a network captured once for each batch size, replayed without Python or launches."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifier.network import Network
from classifier.preprocess import Pixels

_WARM_UPS = 3  # before a capture, so that libraries have chosen their kernels


@dataclass(frozen=True, slots=True)
class _Captured:
    """One batch size: fill `images`, replay, read `rows`."""

    graph: torch.cuda.CUDAGraph
    images: Tensor  # uint8 (N, H, W, 3) on the device
    rows: Tensor  # float32 (N, K) on the device


class CudaGraphs:
    """uint8 pictures to probabilities on a GPU. Not for two threads at a time.

    Pictures travel as uint8 from pinned memory and are normalised on the device.
    """

    def __init__(
        self, network: Network, shape: tuple[int, int, int, int], sizes: tuple[int, ...]
    ) -> None:
        """`shape`: (1, H, W, 3); `sizes`: ascending. Captures everything: takes seconds."""
        self._network = network
        self._stream = torch.cuda.Stream()
        largest = (sizes[-1], *shape[1:])
        self._sent = torch.empty(largest, dtype=torch.uint8, pin_memory=True)
        # The largest first: the smaller ones then find their memory in its pool.
        self._pool = torch.cuda.graph_pool_handle()
        self._captured = {
            size: self._capture((size, *shape[1:])) for size in sorted(sizes, reverse=True)
        }
        classes = self._captured[sizes[0]].rows.shape[1]
        self._received = torch.empty((sizes[-1], classes), pin_memory=True)
        self._sizes = sizes

    def __call__(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """float32 (N, K) of uint8 (N, H, W, 3), any N."""
        largest = self._sizes[-1]
        parts = [
            self._run(images_NHWC[first : first + largest])
            for first in range(0, len(images_NHWC), largest)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        count = len(images_NHWC)
        captured = self._captured[next(size for size in self._sizes if size >= count)]
        self._sent[:count].numpy()[:] = images_NHWC
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            captured.images[:count].copy_(self._sent[:count], non_blocking=True)
            captured.graph.replay()
            self._received[:count].copy_(captured.rows[:count], non_blocking=True)
        self._stream.synchronize()
        return self._received[:count].numpy().copy()

    def _capture(self, shape: tuple[int, ...]) -> _Captured:
        images = torch.zeros(shape, dtype=torch.uint8, device="cuda")
        with torch.inference_mode():
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UPS):
                    self._compute(images)
            torch.cuda.current_stream().wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                rows = self._compute(images)
        return _Captured(graph, images, rows)

    def _compute(self, images: Tensor) -> Tensor:
        return self._network(images).float().softmax(dim=1)

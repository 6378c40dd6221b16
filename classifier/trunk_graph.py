"""TrunkGraph: a frozen trunk in the engine that will serve it, from which a head can be trained."""

import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.graph import add_head, save_graph, trace_trunk
from classifier.network import Network
from classifier.openvino_engine import Requests, read_graph
from classifier.preprocess import Pixels
from classifier.quantize import quantize

# Calls side by side. They never wait for one another, as the threads of one call do, but in int8
# each has a graph of its own.
_MOST_LANES = 4


class TrunkGraph:
    """uint8 pictures to features, and a graph of the whole network once a head is known.

    Thread-safe. Compiled at the first call: who finds all features in a cache needs no engine.
    """

    def __init__(
        self, graph: Any, *, variant: str = "f32", threads: int = 0, recipe: str = ""
    ) -> None:
        """
        Args:
            graph: an openvino.Model, uint8 (N, H, W, 3) to features (N, D).
            variant: `f32`, or `int8` of a quantised graph.
            threads: of all calls together; 0 leaves it to OpenVINO, and is for one call at a time.
            recipe: what the graph was made of; two with the same one compute the same. Empty: not
                known.
        """
        self._graph, self.variant, self.recipe = graph, variant, recipe
        self._threads = threads
        self.lanes = max(1, min(threads, _MOST_LANES))
        self._lock = threading.Lock()
        self._requests: Requests | None = None

    @classmethod
    def of(
        cls, network: Network, crop_px: int, *, threads: int = 0, recipe: str = ""
    ) -> "TrunkGraph":
        """The trunk of `network`, on the CPU, in float32."""
        return cls(_read_back(trace_trunk(network, crop_px)), threads=threads, recipe=recipe)

    def quantized(self, pictures: NDArray[np.uint8], recipe: str = "") -> "TrunkGraph":
        """In int8, calibrated on uint8 (N, H, W, 3). Raises QuantizeError."""
        graph = quantize(self._graph, list(pictures))
        return TrunkGraph(_read_back(graph), variant="int8", threads=self._threads, recipe=recipe)

    @classmethod
    def from_bytes(
        cls, data: tuple[bytes, bytes], *, variant: str, threads: int = 0, recipe: str = ""
    ) -> "TrunkGraph":
        """From what `to_bytes` returned."""
        xml, weights = data
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trunk.xml"
            path.write_bytes(xml)
            path.with_suffix(".bin").write_bytes(weights)
            return cls(read_graph(path), variant=variant, threads=threads, recipe=recipe)

    def to_bytes(self) -> tuple[bytes, bytes]:
        """IR as its two files hold it: for the other processes of a job, and for a cache."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trunk.xml"
            save_graph(self._graph, path)
            return path.read_bytes(), path.with_suffix(".bin").read_bytes()

    def features(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) to float32 (N, D)."""
        with self._lock:
            if self._requests is None:
                self._requests = Requests.of(
                    self._graph, self.variant, threads=self._threads, lanes=self.lanes
                )
        return self._requests(np.ascontiguousarray(images_NHWC))

    def with_head(self, network: Network) -> Any:
        """An openvino.Model: uint8 (N, H, W, 3) to probabilities (N, K), by `network`'s head."""
        head = network.head
        return add_head(
            self._graph,
            head.weight.detach().cpu().float().numpy(),
            head.bias.detach().cpu().float().numpy(),
        )


def _read_back(graph: Any) -> Any:
    """`graph` as its file gives it again: what is served, and what a cache and other processes get.

    The features of a graph fresh from its converter differ in the last bits.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunk.xml"
        save_graph(graph, path)
        return read_graph(path)

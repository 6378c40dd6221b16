"""Int8Trunk: the frozen trunk as it will be served in int8, on which the head is trained."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.graph import add_head, save_graph, trace_trunk
from classifier.network import Network
from classifier.openvino_engine import compile_graph, read_graph
from classifier.preprocess import Pixels
from classifier.quantize import quantize


class Int8Trunk:
    """A quantised trunk: uint8 pictures to features, and a graph once a head is known."""

    def __init__(self, graph: Any, threads: int = 0) -> None:
        """`graph`: an openvino.Model; `threads`: 0 leaves it to OpenVINO."""
        self._graph = graph
        self._compiled = compile_graph(graph, threads=threads)

    @classmethod
    def of(
        cls, network: Network, crop_px: int, pictures: NDArray[np.uint8], threads: int = 0
    ) -> "Int8Trunk":
        """Quantise the trunk of `network`, calibrated on uint8 (N, H, W, 3).

        Raises QuantizeError.
        """
        return cls(quantize(trace_trunk(network, crop_px), list(pictures)), threads)

    @classmethod
    def from_bytes(cls, data: tuple[bytes, bytes], threads: int = 0) -> "Int8Trunk":
        """From what `to_bytes` returned."""
        xml, weights = data
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trunk.xml"
            path.write_bytes(xml)
            path.with_suffix(".bin").write_bytes(weights)
            return cls(read_graph(path), threads)

    def to_bytes(self) -> tuple[bytes, bytes]:
        """IR as its two files hold it: for the other processes of a job."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trunk.xml"
            save_graph(self._graph, path)
            return path.read_bytes(), path.with_suffix(".bin").read_bytes()

    def features(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) to float32 (N, D)."""
        request = self._compiled.create_infer_request()
        return np.array(request.infer([np.ascontiguousarray(images_NHWC)])[0], dtype=np.float32)

    def with_head(self, network: Network) -> Any:
        """An openvino.Model: uint8 (N, H, W, 3) to probabilities, with `network`'s linear head."""
        head = network.head
        return add_head(
            self._graph,
            head.weight.detach().cpu().float().numpy(),
            head.bias.detach().cpu().float().numpy(),
        )

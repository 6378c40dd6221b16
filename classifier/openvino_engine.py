"""The CPU engine: an exported graph under OpenVINO. Imports openvino; no torch anywhere near."""

import functools
import queue
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.batching import LONG_BATCH, best_batch, is_long
from classifier.bundle import Bundle
from classifier.preprocess import Pixels
from contract.errors import BundleError
from contract.manifest import GRAPH_NAME, INT8_NAME


def import_openvino() -> Any:
    """openvino without its telemetry, which would call home at import; it has a stub for that."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


class OpenVinoEngine:
    """A bundle's graph, either for calls with many pictures or for lanes that serve.

    Lanes get a graph for exactly one picture, which computes small networks a tenth faster, and
    beside it one for batches only if that is faster still.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        bundle: Bundle,
        variant: str = "f32",
        *,
        threads: int = 0,
        lanes: int = 0,
        batch_size: int = 0,
    ) -> None:
        """Arguments as `classifier.engine.load_engine`."""
        self.variant, self.batch_size = variant, 1
        path = bundle.folder / (INT8_NAME if variant == "int8" else GRAPH_NAME)
        if path.name not in bundle.manifest.files:
            raise BundleError(
                f"{bundle.folder} has no {path.name}, which {variant} on a CPU computes"
            )
        graph = read_graph(path)
        self._single: Requests | None = None
        self._any: Requests | None = None
        if not lanes:
            self._any = Requests.of(graph, variant, threads=threads, lanes=1)
            return
        one = graph.clone()
        one.reshape([1, *bundle.probe_shape[1:]])
        self._single = Requests.of(one, variant, threads=lanes, lanes=lanes)
        example = np.zeros(bundle.probe_shape, np.uint8)
        if not batch_size and is_long(self._single, example):
            batch_size = LONG_BATCH if variant == "int8" and lanes > 1 else 1
        if batch_size == 1:
            return
        many = Requests.of(graph, variant, threads=lanes, lanes=lanes)
        self.batch_size = batch_size or best_batch(self._single, many, example)
        if self.batch_size > 1:
            self._any = many

    def probabilities(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) to float32 (N, K)."""
        images = np.ascontiguousarray(images_NHWC)
        if self._any is not None and (len(images) > 1 or self._single is None):
            return self._any(images)
        assert self._single is not None
        if len(images) == 1:
            return self._single(images)
        return np.concatenate([self._single(image[None]) for image in images])

    def probabilities_everywhere(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """(M, K): what each request says of one picture, (1, H, W, 3), alone and in batches.

        Each prepares itself for every size of a batch when it first sees one: now, not later.
        """
        rows = self._single.everywhere(images_NHWC) if self._single is not None else []
        if self._any is not None:
            for size in range(1 if self._single is None else 2, self.batch_size + 1):
                rows += self._any.everywhere(np.repeat(images_NHWC, size, axis=0))
        return np.concatenate(rows)


class Requests:
    """Inference requests over one graph, lent to whoever calls. Thread-safe."""

    def __init__(self, requests: list[Any]) -> None:
        self._requests = requests
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for request in requests:
            self._free.put(request)

    @classmethod
    def of(cls, graph: Any, variant: str, *, threads: int, lanes: int) -> "Requests":
        """One for each lane, each with its share of the threads.

        float32 lanes are streams of one compiled graph and share its weights. int8 lanes are
        graphs of their own: streams that share int8 weights compute wrong answers now and then,
        with shapes that vary always (openvino 2026.4.1, squeezenet1_1).
        """
        precision = "bf16" if variant == "bf16" else "f32"
        if variant != "int8" or lanes == 1:
            compiled = compile_graph(graph, precision, threads, lanes)
            return cls([compiled.create_infer_request() for _ in range(lanes)])
        each = max(1, threads // lanes)
        copies = [compile_graph(graph, precision, each) for _ in range(lanes)]
        return cls([copy.create_infer_request() for copy in copies])

    def __call__(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """float32 (N, K) of contiguous uint8 (N, H, W, 3)."""
        request = self._free.get()
        try:
            return _infer(request, images_NHWC)
        finally:
            self._free.put(request)

    def everywhere(self, images_NHWC: Pixels) -> list[NDArray[np.float32]]:
        """What each of them answers. Only while nobody else calls."""
        return [_infer(request, images_NHWC) for request in self._requests]


def _infer(request: Any, images_NHWC: Pixels) -> NDArray[np.float32]:
    result = request.infer([images_NHWC], share_inputs=True)
    return np.array(result[0], dtype=np.float32)


def capabilities() -> frozenset[str]:
    """What this chip computes natively, in OpenVINO's words: FP32, INT8, BF16, ..."""
    return frozenset(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def read_graph(path: Path) -> Any:
    """An openvino.Model of an IR file. Raises BundleError when it is damaged."""
    _core()
    from openvino.frontend import FrontEndManager

    try:
        # By name: for a damaged file OpenVINO would try every format it knows.
        reader = FrontEndManager().load_by_framework("ir")
        return reader.convert(reader.load(str(path)))
    except RuntimeError as error:
        raise BundleError(f"{path} cannot be compiled: {str(error).splitlines()[0]}") from error


def compile_graph(graph: Any, precision: str = "f32", threads: int = 0, lanes: int = 1) -> Any:
    """A compiled model for this CPU.

    Args:
        precision: `f32` or `bf16`, of what the graph itself does not say.
        threads: processor threads altogether; 0 leaves it to OpenVINO.
        lanes: calls that compute side by side, each with its share of the threads.

    Raises BundleError.
    """
    config: dict[str, Any] = {
        # Probabilities must equal training's: no silent bf16 on chips that have it.
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": lanes,
        # Other processes share the processors: threads tied to one of them would wait for it.
        "ENABLE_CPU_PINNING": False,
    }
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    try:
        return _core().compile_model(graph, "CPU", config)
    except RuntimeError as error:
        raise BundleError(
            f"the graph cannot be compiled for this CPU: {str(error).splitlines()[0]}"
        ) from error


def _core() -> Any:
    """One for the whole process, never released.

    Each Core brings a CPU plugin that gives the thread a signal stack of its own. Two of them,
    released in the order in which they came, leave a stack that is unmapped: the next signal,
    SIGTERM above all, is then a segmentation fault (openvino 2026.4.1).
    """
    with _core_lock:  # two threads that load at once must not make two
        return _make_core()


_core_lock = threading.Lock()


@functools.cache
def _make_core() -> Any:
    openvino = import_openvino()
    # Its table of numpy types is built at the first look, with the interpreter's lock let go
    # meanwhile: two threads that look first together wait for each other for ever, and stop all
    # others with them (openvino 2026.4.1). So it is looked at here, before there are threads.
    openvino.Type.f32.to_dtype()
    return openvino.Core()

"""The CPU engine: the exported graph under OpenVINO. The only file that imports openvino."""

import functools
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.bundle import Bundle
from classifier.preprocess import Pixels
from contract.errors import BundleError


def import_openvino() -> Any:
    """openvino without its telemetry, which would call home at import; it has a stub for that."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


class OpenVinoEngine:
    """float32 inference. Each call takes its own request, so threads do not wait for a lock."""

    name = "openvino"
    device = "cpu"

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        if bundle.graph_file is None:
            raise BundleError(f"{bundle.folder} has no exported graph for the CPU engine")
        self._compiled = _compile(bundle.graph_file, threads)

    def probabilities(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) to float32 (N, K)."""
        request = self._compiled.create_infer_request()
        result = request.infer([np.ascontiguousarray(images_NHWC)])
        return np.array(result[0], dtype=np.float32)


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
    return import_openvino().Core()


def _compile(graph_file: Path, threads: int) -> Any:
    core = _core()
    config: dict[str, Any] = {
        # Probabilities must equal training's: no silent bf16 on chips that have it.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    from openvino.frontend import FrontEndManager

    try:
        # By name: for a damaged file OpenVINO would try every format it knows.
        reader = FrontEndManager().load_by_framework("ir")
        graph = reader.convert(reader.load(str(graph_file)))
        return core.compile_model(graph, "CPU", config)
    except RuntimeError as error:
        raise BundleError(
            f"{graph_file} cannot be compiled: {str(error).splitlines()[0]}"
        ) from error

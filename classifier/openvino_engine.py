"""The CPU engine: the exported graph under OpenVINO. The only file that imports openvino."""

import sys
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


def _compile(graph_file: Path, threads: int) -> Any:
    openvino = import_openvino()
    config: dict[str, Any] = {
        # Probabilities must equal training's: no silent bf16 on chips that have it.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    from openvino.frontend import FrontEndManager

    try:
        # By name: for a damaged file OpenVINO would try every format it knows, and its
        # TensorFlow reader leaves the process with a signal stack that crashes at Ctrl-C.
        reader = FrontEndManager().load_by_framework("ir")
        graph = reader.convert(reader.load(str(graph_file)))
        return openvino.Core().compile_model(graph, "CPU", config)
    except RuntimeError as error:
        raise BundleError(
            f"{graph_file} cannot be compiled: {str(error).splitlines()[0]}"
        ) from error

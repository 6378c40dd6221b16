"""Engine: what turns uint8 pictures into probabilities, chosen for the chip it runs on."""

import importlib.util
import logging
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.bundle import Bundle
from classifier.preprocess import Pixels
from contract.errors import BundleError

log = logging.getLogger(__name__)

EngineName = Literal["auto", "openvino", "torch"]
ENGINES = ("auto", "openvino", "torch")


class Engine(Protocol):
    """A loaded network. Safe to call from several threads."""

    name: str
    device: str

    def probabilities(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) to float32 (N, K); rows sum to 1."""
        ...


def load_engine(bundle: Bundle, name: str = "auto", threads: int = 0) -> Engine:
    """Load `bundle` into the engine that suits this machine, or into the one named.

    Args:
        threads: processor threads for one inference; 0 leaves it to the engine.

    Raises BundleError: the named engine is not installed, or the bundle has no graph for it.
    """
    # Imported here: torch takes seconds, and the CPU image does not have it at all.
    chosen = _choose(bundle, name)
    if chosen == "torch" and name == "auto":
        chosen = _without_broken_gpu(bundle)
    if chosen == "openvino":
        from classifier.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(bundle, threads)
    from classifier.torch_engine import TorchEngine

    return TorchEngine(bundle, threads)


def _choose(bundle: Bundle, name: str) -> Literal["openvino", "torch"]:
    if name not in ENGINES:
        raise BundleError(f"engine {name!r}: expected one of {' | '.join(ENGINES)}")
    has_torch = importlib.util.find_spec("torch") is not None
    has_openvino = importlib.util.find_spec("openvino") is not None
    if name == "torch" or (name == "auto" and has_torch and has_nvidia_gpu()):
        if not has_torch:
            raise BundleError("engine 'torch': torch is not in this image; use openvino or auto")
        return "torch"
    if has_openvino and bundle.graph_file is not None:
        return "openvino"
    if name == "openvino" or not has_torch:
        missing = "openvino is not installed" if not has_openvino else "the bundle has no model.xml"
        raise BundleError(f"engine 'openvino': {missing}")
    return "torch"


def _without_broken_gpu(bundle: Bundle) -> Literal["openvino", "torch"]:
    """torch, unless its GPU cannot be used and openvino is there, which is faster on a CPU."""
    from classifier.gpu import find_gpu

    gpu = find_gpu()
    if gpu.is_broken:
        log.warning("the CPU serves, not the GPU: %s", gpu.why)
    can_openvino = importlib.util.find_spec("openvino") and bundle.graph_file is not None
    return "openvino" if can_openvino and not gpu.is_usable else "torch"


def has_nvidia_gpu() -> bool:
    """True when a driver shows a device, found without importing torch."""
    return any(Path("/dev").glob("nvidia[0-9]*"))

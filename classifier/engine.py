"""Engine: what turns uint8 pictures into probabilities, loaded as it was chosen for this chip."""

import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.bundle import Bundle
from classifier.choice import Choice, Machine, choose, has_nvidia_gpu
from classifier.preprocess import Pixels

log = logging.getLogger(__name__)


class Engine(Protocol):
    """A loaded network. Safe to call from several threads."""

    name: str
    device: str
    variant: str
    batch_size: int  # most pictures that are worth waiting for one call

    def probabilities(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) to float32 (N, K); rows sum to 1."""
        ...

    def probabilities_everywhere(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """(M, K): what all parts of the engine say of one picture, uint8 (1, H, W, 3).

        Also their warm-up. Only while nobody else calls.
        """
        ...


def choose_engine(bundle: Bundle, engine: str = "auto", variant: str = "auto") -> Choice:
    """What suits this machine, or what is pinned. Raises BundleError, HostError."""
    has_gpu = engine != "openvino" and has_nvidia_gpu() and _is_gpu_usable()
    return choose(bundle.manifest, Machine.here(has_gpu=has_gpu), engine, variant)


def load_engine(
    bundle: Bundle,
    engine: str = "auto",
    variant: str = "auto",
    *,
    threads: int = 0,
    lanes: int = 0,
    batch_size: int = 0,
) -> Engine:
    """Load `bundle` into the engine that suits this machine, or into the one named.

    Args:
        threads: processor threads of one call; 0 leaves it to the engine.
        lanes: how many threads will call side by side, each to use one processor; 0: one thread
            calls at a time, with many pictures.
        batch_size: most pictures of a call from a lane; 0 measures what helps.

    Raises BundleError: the named engine is not installed, or the bundle has no graph for it.
    """
    choice = choose_engine(bundle, engine, variant)
    return load_chosen(bundle, choice, threads=threads, lanes=lanes, batch_size=batch_size)


def load_chosen(
    bundle: Bundle, choice: Choice, *, threads: int = 0, lanes: int = 0, batch_size: int = 0
) -> Engine:
    """Load what was chosen; arguments and errors as `load_engine`."""
    # Imported here: torch takes seconds, and the CPU image does not have it at all.
    if choice.engine == "openvino":
        from classifier.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(
            bundle, choice.variant, threads=threads, lanes=lanes, batch_size=batch_size
        )
    from classifier.torch_engine import TorchEngine

    return TorchEngine(bundle, choice.variant, threads=threads or lanes)


def _is_gpu_usable() -> bool:
    """False, with a warning, where a GPU is there and cannot be used."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return False
    from classifier.gpu import find_gpu

    gpu = find_gpu()
    if gpu.is_broken:
        log.warning("the CPU serves, not the GPU: %s", gpu.why)
    return gpu.is_usable

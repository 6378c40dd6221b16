"""The CUDA engine, and the fallback on machines without the exported graph: torch."""

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from classifier.bundle import Bundle
from classifier.gpu import find_gpu
from classifier.network import Network, build_network, load_state
from classifier.preprocess import Pixels
from contract.errors import BundleError


class TorchEngine:
    """float32 inference in channels-last layout."""

    name = "torch"

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        self.device = "cuda" if find_gpu().is_usable else "cpu"
        if threads:
            torch.set_num_threads(threads)
        self._network = read_network(bundle).to(self.device).eval()

    def probabilities(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) to float32 (N, K)."""
        images = torch.from_numpy(np.ascontiguousarray(images_NHWC)).to(self.device)
        with torch.inference_mode():
            return self._network(images).softmax(dim=1).cpu().numpy()


def read_network(bundle: Bundle) -> Network:
    """The trained network of a bundle, on the CPU. Raises BundleError when weights do not fit."""
    manifest = bundle.manifest
    with torch.random.fork_rng(devices=[]):  # its random start is overwritten at once
        network = build_network(
            manifest.arch, len(manifest.labels), image_size=manifest.preprocess.crop_px
        )
    try:
        load_state(network, load_file(bundle.weights_file))
    except (RuntimeError, SafetensorError) as error:
        raise BundleError(
            f"{bundle.weights_file} does not fit {manifest.arch} with {len(manifest.labels)} "
            f"labels: {str(error).splitlines()[0]}"
        ) from error
    return network

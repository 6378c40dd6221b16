"""The CUDA engine, and the fallback on machines without the exported graph: torch."""

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from classifier.bundle import Bundle
from classifier.combining import Combiner
from classifier.cuda_graphs import CudaGraphs
from classifier.gpu import find_gpu
from classifier.network import Network, build_network, load_state
from classifier.preprocess import Pixels
from contract.errors import BundleError

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)  # of captured graphs; smaller batches are filled up


class TorchEngine:
    """Channels-last inference: on a GPU by captured graphs over what waits, else eagerly."""

    name = "torch"
    # On a GPU calls are combined here, where their pictures are decoded already.
    batch_size = 1

    def __init__(self, bundle: Bundle, variant: str = "f32", *, threads: int = 0) -> None:
        self.device = "cuda" if find_gpu().is_usable else "cpu"
        self.variant = variant
        if threads and self.device == "cpu":
            torch.set_num_threads(threads)
        network = read_network(bundle).to(self.device).eval()
        if variant == "half":
            network = network.half()
        self._network = network
        self._combined: Combiner | None = None
        if self.device == "cuda":
            graphs = CudaGraphs(network, bundle.probe_shape, BATCH_SIZES)
            self._combined = Combiner(graphs, BATCH_SIZES[-1])

    def probabilities_everywhere(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """(M, K): one picture, (1, H, W, 3), in every captured batch size; else once."""
        sizes = BATCH_SIZES if self._combined is not None else (1,)
        return np.concatenate(
            [self.probabilities(np.repeat(images_NHWC, size, axis=0)) for size in sizes]
        )

    def probabilities(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) to float32 (N, K)."""
        images = np.ascontiguousarray(images_NHWC)
        if self._combined is not None:
            return self._combined(images)
        with torch.inference_mode():
            logits = self._network(torch.from_numpy(images))
            return logits.float().softmax(dim=1).numpy()


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

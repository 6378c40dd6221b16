"""A trained network to the files of a bundle. Training's side only; needs torch and openvino."""

import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from classifier.bundle import Bundle, probe_pixels, write_bundle
from classifier.network import Network
from classifier.openvino_engine import import_openvino
from contract.errors import HostError, KennelError
from contract.files import cannot_write, staging
from contract.manifest import GRAPH_NAME, GRAPH_WEIGHTS_NAME, WEIGHTS_NAME, Manifest, Probe

_OTHER_BYTES = 2_000_000  # graph, report, probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """A file that travels in the bundle besides the network."""

    name: str
    path: Path


def export_bundle(
    network: Network, folder: Path, manifest: Manifest, extras: tuple[Extra, ...] = ()
) -> Bundle:
    """Write `network` to `folder` as a bundle: weights, graph, probe and `extras`.

    `manifest.probe` and `manifest.files` are filled in here. The network is moved to the CPU
    and to evaluation mode.

    Raises HostError: the folder is not writable or the disk is full. KennelError: the network
    answers NaN.
    """
    network = network.cpu().float().eval()
    pixels = torch.from_numpy(probe_pixels(manifest.preprocess))
    with torch.inference_mode():
        probabilities = network(pixels).softmax(dim=1)[0]
    if not bool(torch.isfinite(probabilities).all()):
        raise KennelError("the trained network answers NaN: lower lr or set gradient-clip")
    manifest = replace(manifest, probe=Probe(probabilities=tuple(probabilities.tolist())))
    _check_room(network, folder)
    try:
        return _write(network, folder, manifest, extras)
    except (OSError, SafetensorError) as error:
        raise cannot_write(folder, error) from error


def _check_room(network: Network, folder: Path) -> None:
    """Refuse before the older bundle's folder fills up. Raises HostError."""
    weights = sum(value.nbytes for value in network.state_dict().values())
    needed = 2 * weights + _OTHER_BYTES  # model.safetensors and model.bin
    folder = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    disk = shutil.disk_usage(folder)
    if disk.total and disk.free < needed:  # some network disks do not say how large they are
        raise HostError(
            f"cannot write the bundle to {folder}: it takes about {needed / 1e6:,.0f} MB and "
            f"{disk.free / 1e6:,.0f} MB are free: give the job a larger volume"
        )


def _write(network: Network, folder: Path, manifest: Manifest, extras: tuple[Extra, ...]) -> Bundle:
    with staging(folder) as staged:
        files = {WEIGHTS_NAME: staged / WEIGHTS_NAME}
        state = {name: value.contiguous() for name, value in network.state_dict().items()}
        save_file(state, files[WEIGHTS_NAME])
        export_graph(network, manifest.preprocess.crop_px, staged / GRAPH_NAME)
        files |= {name: staged / name for name in (GRAPH_NAME, GRAPH_WEIGHTS_NAME)}
        for extra in extras:
            files[extra.name] = Path(shutil.copy(extra.path, staged / extra.name))
        return write_bundle(folder, manifest, files)


class _Probabilities(nn.Module):
    """The served function: uint8 (N, H, W, 3) to probabilities (N, K)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_NHWC: Tensor) -> Tensor:
        return self.network(images_NHWC).softmax(dim=1)


def export_graph(network: Network, crop_px: int, path: Path) -> None:
    """Write `network` with a softmax as OpenVINO IR in float32, any batch size.

    Raises HostError: the folder is not writable or the disk is full.
    """
    openvino = import_openvino()
    example = torch.zeros(2, crop_px, crop_px, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns about every Python `if` in torchvision
        graph = openvino.convert_model(
            _Probabilities(network).eval(),
            example_input=example,
            input=[-1, crop_px, crop_px, 3],
        )
    # float16 storage would move probabilities past the probe's tolerance on deep networks.
    try:
        openvino.save_model(graph, str(path), compress_to_fp16=False)
    except RuntimeError as error:  # what it raises for a failed write
        raise cannot_write(path, error) from error

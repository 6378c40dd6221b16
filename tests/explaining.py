"""For the tests of explanations: a bundle that can be explained, whichever network it holds."""

from dataclasses import replace
from pathlib import Path

import torch

from classifier.bundle import Bundle, probe_pixels
from classifier.explain_export import write_explanation
from classifier.graph import save_graph, trace_network
from classifier.network import Network, build_network, preset_of
from contract.manifest import GRAPH_NAME, Manifest


def trained(arch: str, num_classes: int, side: int) -> Network:
    """A network with random weights, and batch norms that have seen pictures."""
    torch.manual_seed(0)
    network = build_network(arch, num_classes, image_size=side)
    network(torch.randint(0, 256, (8, side, side, 3), dtype=torch.uint8))
    return network.eval()


def explained(network: Network, manifest: Manifest, folder: Path) -> Bundle:
    """Only those files of a bundle that heat maps come from."""
    save_graph(trace_network(network, manifest.preprocess.crop_px), folder / GRAPH_NAME)
    files = write_explanation(network, probe_pixels(manifest.preprocess), folder)
    return Bundle(folder=folder, manifest=replace(manifest, files=dict.fromkeys(files, "")))


def preprocess_of(arch: str, side: int):
    """As `build_network` wants it."""
    return preset_of(arch, side).preprocess

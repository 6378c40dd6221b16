"""For the tests of serve/: bundles of torchvision networks with random weights, built once."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

LABELS = 10


@functools.cache
def random_bundle(arch: str) -> Path:
    """A bundle whose labels are `ARCH-0` to `ARCH-9`. Do not write."""
    import torch

    from classifier.export import export_bundle
    from classifier.network import build_network, preset_of
    from contract.manifest import Manifest, Probe

    folder = Path(tempfile.mkdtemp(prefix=f"{arch}-bundle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(arch, LABELS)
    manifest = Manifest(
        arch=arch,
        labels=tuple(f"{arch}-{number}" for number in range(LABELS)),
        preprocess=preset_of(arch).preprocess,
        probe=Probe(probabilities=(1 / LABELS,) * LABELS),
        files={},
    )
    export_bundle(network, folder, manifest)
    return folder

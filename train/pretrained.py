"""Where a network starts: pretrained weights from a channel, the image or torchvision, or a
model trained earlier. Never a silent random start."""

import hashlib
import logging
import re
import urllib.request
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from classifier.network import Network
from contract.errors import HostError, WeightsError
from contract.files import replacing

log = logging.getLogger(__name__)

IMAGE_WEIGHTS_DIR = Path("/opt/kennel/weights")
DOWNLOAD_SECONDS = 60.0  # without a byte
# The layers that a classifier has and its trunk has not.
_HEADS = re.compile(r"^(fc|classifier|head|heads|aux1|aux2|AuxLogits)\.")
# Names inside old DenseNet files. Source: torchvision.models.densenet._load_state_dict.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..+)$")
# What safetensors and torch's restricted unpickler raise for damaged files.
_READ_ERRORS = (
    SafetensorError,
    UnpicklingError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
)


def load_pretrained(network: Network, arch: str, channel: Path | None) -> str:
    """Fill the trunk of `network`; returns one clause that says with what.

    Looked for in this order: the `pretrained` channel, the image, torchvision's URL.

    Raises:
        WeightsError: none was found (says the three ways), or they are damaged or do not fit.
    """
    if channel is not None:
        path = find_weights(channel, arch)
        fill_trunk(network, read_weights(path), f"{path.name} of channel pretrained")
        return f"weights from channel pretrained ({path.name})"
    for suffix in (".safetensors", ".pth"):
        path = IMAGE_WEIGHTS_DIR / f"{arch}{suffix}"
        if path.is_file():
            fill_trunk(network, read_weights(path), str(path))
            return f"weights from the image ({path})"
    url = models.get_model_weights(arch).DEFAULT.url
    path = _downloaded(url, arch)
    fill_trunk(network, read_weights(path), path.name)
    return f"weights from torchvision ({path.name})"


def find_weights(channel: Path, arch: str) -> Path:
    """The one weights file of the channel, or the one named after `arch`. Raises WeightsError."""
    if channel.is_file():
        return channel
    files = sorted(
        path
        for path in channel.rglob("*")
        if path.suffix in (".pth", ".pt", ".safetensors") and not path.name.startswith(".")
    )
    named = [path for path in files if path.name.startswith(arch)]
    chosen = named if len(files) > 1 else files
    if len(chosen) != 1:
        listed = ", ".join(path.name for path in files[:5]) or "none"
        raise WeightsError(
            f"channel 'pretrained' ({channel}): expected one .pth or .safetensors file, or one "
            f"whose name starts with {arch}; found {listed}"
        )
    return chosen[0]


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from .safetensors or .pth (tensors only: no other object is unpickled).

    Raises WeightsError: damaged, or a whole pickled model instead of a state dict.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickle versions: it reads them or raises
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except _READ_ERRORS as error:
        raise WeightsError(
            f"{path} holds no state dict of plain tensors (save model.state_dict(), not the "
            f"model): {' '.join(str(error).split())[:200]}"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not all(torch.is_tensor(v) for v in loaded.values()):
        raise WeightsError(f"{path}: expected a state dict (name -> tensor)")
    return {name.removeprefix("module."): value for name, value in loaded.items()}


def fill_trunk(network: Network, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy a torchvision state dict into the trunk; its classifier is left out.

    Raises WeightsError: a layer is missing, unknown, or of another shape.
    """
    trunk = network.trunk.state_dict()
    renamed = {_our_name(network.trunk, name): value for name, value in weights.items()}
    fitting = {name: value for name, value in renamed.items() if name in trunk}
    # Counters that old files lack do not matter.
    missing = [
        name for name in trunk if name not in fitting and not name.endswith("num_batches_tracked")
    ]
    strange = [name for name in renamed if name not in trunk and not _HEADS.match(name)]
    shapes = [name for name, value in fitting.items() if value.shape != trunk[name].shape]
    for problem, names in (("lacks", missing), ("has unknown", strange), ("differs in", shapes)):
        if names:
            raise WeightsError(
                f"{source} does not fit this arch: it {problem} {names[0]}"
                f"{f' and {len(names) - 1} more' if len(names) > 1 else ''}; "
                "set arch to the network that the weights belong to"
            )
    trunk.update(fitting)
    network.trunk.load_state_dict(trunk)


def refit_head(
    head: nn.Linear, labels: tuple[str, ...], earlier: Network, earlier_labels: tuple[str, ...]
) -> int:
    """Copy the rows of labels that the earlier model knew; returns how many.

    Where it knew some, the others become zeros: beside trained rows random ones speak for nothing.
    """
    kept = [label for label in labels if label in earlier_labels]
    with torch.no_grad():
        if kept:
            head.weight.zero_()
            head.bias.zero_()
        for label in kept:
            row, old = labels.index(label), earlier_labels.index(label)
            head.weight[row] = earlier.head.weight[old]
            head.bias[row] = earlier.head.bias[old]
    return len(kept)


def _our_name(trunk: nn.Module, name: str) -> str:
    if isinstance(trunk, models.SqueezeNet) and name.startswith("classifier.1."):
        return name.replace("classifier.1.", "classifier.convolution.")
    match = _OLD_DENSENET.match(name)
    return "".join(match.groups()) if match else name


def _downloaded(url: str, arch: str) -> Path:
    """torchvision's file in torch's cache, fetched when it is not there yet."""
    name = url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    log.info("fetching %s", url)
    try:
        fetch(url, path)
    except HostError as error:
        raise WeightsError(
            f"no pretrained weights for {arch}: {error}. Give them in one of three ways: "
            f"a channel 'pretrained' with a torchvision state dict ({name}); a file "
            f"{IMAGE_WEIGHTS_DIR}/{arch}.pth in the image; or internet access. "
            "pretrained=false starts from random weights"
        ) from error
    return path


def fetch(url: str, path: Path, timeout_seconds: float = DOWNLOAD_SECONDS) -> None:
    """Download to `path`, atomically. A name like x-0676ba61.pth carries its SHA-256's start.

    Raises HostError: no connection, or other bytes than the name promises. Safe to retry.
    """
    expected = re.search(r"-([0-9a-f]{8,})\.", path.name)
    digest = hashlib.sha256()
    with replacing(path) as temporary:
        try:
            with (
                urllib.request.urlopen(url, timeout=timeout_seconds) as reply,
                temporary.open("wb") as file,
            ):
                while chunk := reply.read(1 << 20):
                    digest.update(chunk)
                    file.write(chunk)
        except OSError as error:  # URLError and time-outs are OSErrors
            raise HostError(f"{url} cannot be fetched ({error})") from error
        if expected and not digest.hexdigest().startswith(expected.group(1)):
            raise HostError(
                f"{url}: expected a SHA-256 that starts with {expected.group(1)}, "
                f"got {digest.hexdigest()[:8]}"
            )

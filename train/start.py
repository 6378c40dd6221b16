"""The network that a job starts from: built, filled, frozen."""

import logging
from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from classifier.bundle import read_bundle
from classifier.network import Network, build_network, freeze, new_head, preset_of
from classifier.torch_engine import read_network
from contract.errors import WeightsError
from contract.hyperparameters import Hyperparameters
from contract.job import TrainingJob
from contract.labels import Labels
from contract.manifest import MANIFEST_NAME, Manifest, Preprocess
from train.archive import is_archive, unpack
from train.augment import seed_of
from train.batches import HEAD_STREAM
from train.memo import Memo
from train.pretrained import load_pretrained, refit_head
from train.unfilled import Unfilled

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A network ready to learn, and how pictures become its input."""

    network: Network
    preprocess: Preprocess
    values: Hyperparameters  # with `arch` as it really is
    origin: str  # one clause: where the weights came from
    continues: bool = False  # the head was trained before, for some of the labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A model that the job continues from."""

    manifest: Manifest
    network: Network


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """A network whose head is not its own yet."""

    network: Network
    origin: str


def start_network(
    job: TrainingJob, labels: Labels, work_dir: Path, memo: Memo | None = None
) -> Start:
    """Build the network of a job; the seed decides every random weight.

    `memo` keeps a frozen trunk for the next trial. The head is drawn apart from the trunk, so it
    is the same whether the trunk was built or kept.

    Raises:
        HyperparameterError: an unknown arch.
        WeightsError: no pretrained weights anywhere, or they do not fit.
        BundleError: the `model` channel holds no bundle that can be read.
    """
    values = job.hyperparameters.values
    earlier = _read_earlier(job, work_dir) if "model" in job.channels else None
    if earlier is not None:
        values = _continue_with(values, job.hyperparameters.given, earlier.manifest)
    if memo is None or earlier is not None or values.unfreeze != "none":
        filled = _fill(job, values, earlier)
    else:
        filled = memo.once("trunk", _key(job, values), lambda: _fill(job, values, None))
    if not values.pretrained and earlier is None and values.unfreeze == "none":
        log.warning(
            "warning: the trunk has random weights and stays frozen; set unfreeze=all to "
            "train from scratch"
        )
    network, origin, kept = _with_head(filled.network, labels, values), filled.origin, 0
    if earlier is not None:
        origin, kept = _refit(network, labels, earlier)
    freeze(network, values.unfreeze)
    preprocess = preset_of(values.arch, values.image_size).preprocess
    if earlier is not None and values.image_size == earlier.manifest.preprocess.crop_px:
        preprocess = earlier.manifest.preprocess
    return Start(
        network=network,
        preprocess=preprocess,
        values=values,
        origin=origin,
        continues=kept > 0,
    )


def _fill(job: TrainingJob, values: Hyperparameters, earlier: Earlier | None) -> _Filled:
    """The trunk that the job starts from, in a network with any head."""
    torch.manual_seed(values.seed)
    with Unfilled(is_on=values.pretrained or earlier is not None):
        network = build_network(
            values.arch, 1, head_init=values.head_init, image_size=values.image_size
        )
    if earlier is not None:
        network.trunk.load_state_dict(earlier.network.trunk.state_dict())
        return _Filled(network=network, origin="")
    if not values.pretrained:
        return _Filled(network=network, origin="random weights, as pretrained=false asks")
    channel = job.channels.get("pretrained")
    origin = load_pretrained(network, values.arch, channel.path if channel else None)
    return _Filled(network=network, origin=origin)


def _key(job: TrainingJob, values: Hyperparameters) -> Hashable:
    """What the trunk of a job without a `model` channel depends on. Channels stay as they are."""
    channel = job.channels.get("pretrained")
    source = (channel.path if channel else None) if values.pretrained else values.seed
    return values.arch, values.image_size, values.pretrained, source


def _with_head(filled: Network, labels: Labels, values: Hyperparameters) -> Network:
    """Another network with the same trunk and a new head, of random numbers of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(values.seed, HEAD_STREAM))
        head = new_head(filled.head.in_features, len(labels), values.head_init)
    return Network(filled.trunk, head, filled.mean, filled.std)


def _read_earlier(job: TrainingJob, work_dir: Path) -> Earlier:
    """The bundle of the `model` channel: a folder, or the model.tar.gz of an earlier job."""
    path = job.channels["model"].path
    if path.is_dir() and not (path / MANIFEST_NAME).is_file():
        archives = sorted(item for item in path.iterdir() if is_archive(item))
        if len(archives) == 1:
            path = archives[0]
    if path.is_file():
        target = work_dir / "model"
        unpack(path, target)
        path = target
    bundle = read_bundle(path)
    return Earlier(manifest=bundle.manifest, network=read_network(bundle))


def _continue_with(
    values: Hyperparameters, given: frozenset[str], manifest: Manifest
) -> Hyperparameters:
    """The earlier model's arch and input size, unless the job says otherwise."""
    if "arch" in given and values.arch != manifest.arch:
        raise WeightsError(
            f"channel 'model' holds a {manifest.arch}, but arch={values.arch}: "
            "leave arch out, or train without the channel"
        )
    size = values.image_size if "image-size" in given else manifest.preprocess.crop_px
    return replace(values, arch=manifest.arch, image_size=size)


def _refit(network: Network, labels: Labels, earlier: Earlier) -> tuple[str, int]:
    """Take over the rows of the earlier head; returns where all weights came from, and how many
    labels it knew."""
    known = earlier.manifest.labels
    kept = refit_head(network.head, labels.names, earlier.network, known)
    if kept == len(labels) == len(known):
        return "the earlier model of channel model, head included", kept
    said = (
        f"the earlier model of channel model; its head is refitted: {kept} labels kept, "
        f"{len(labels) - kept} new, {len(known) - kept} dropped"
    )
    return said, kept

"""Quantizing: int8 for serving on CPUs, before training where the trunk is frozen, else after.

Quantising a finished network flips some of its answers. A head that was trained on the quantised
trunk's features knows nothing else: what is served is what was trained.
"""

import logging
import time
from typing import Any

import numpy as np

from classifier.export import Variants
from classifier.int8_trunk import Int8Trunk
from classifier.measure import Check
from classifier.network import Network
from classifier.preprocess import Pixels, decode_picture
from classifier.quantize import CALIBRATION_PICTURES
from contract.errors import HyperparameterError, ImageError, QuantizeError
from contract.manifest import Preprocess
from train.data import JobData, Picture
from train.device import Device
from train.features import TorchFeatures
from train.group import Group
from train.learner import Judged, Learner
from train.start import Start

log = logging.getLogger(__name__)

FEWEST_PICTURES = 16  # to calibrate on; with fewer, auto leaves int8 alone
CHECKED_PICTURES_IN_A_HURRY = 32
CHECKED_PICTURES = 256  # of validation, for what the bundle says about its variants
# Share of the features' variance over pictures that int8 may add as noise. Above it a trunk has
# layers that int8 does not suit, and a head cannot make up for that: auto goes without int8 then.
MOST_NOISE = 0.25


def find_int8_trunk(start: Start, data: JobData, device: Device, group: Group) -> Int8Trunk | None:
    """The frozen trunk of `start` in int8, the same in all processes; None to train on its own.

    Raises HyperparameterError: quantize=int8, and it is not possible.
    """
    wanted = start.values.quantize
    if wanted == "none" or (wanted == "auto" and device.is_cuda):
        return None
    trunk, reason = None, ""
    if group.is_leader:
        try:
            trunk = _quantize_first(start, data, device)
        except QuantizeError as error:
            reason = str(error)
    reason = group.share(reason)
    if reason:
        _refuse(wanted, reason, group)
        return None
    if group.is_alone:
        return trunk
    xml, weights = trunk.to_bytes() if trunk else (b"", b"")
    sent = group.send(xml), group.send(weights)
    return trunk or Int8Trunk.from_bytes(sent, device.cpus)


def variants_of(
    start: Start,
    data: JobData,
    learner: Learner,
    judged: Judged,
    *,
    device: Device,
    is_hurried: bool,
) -> Variants:
    """What the bundle will hold beside float32, and the pictures to measure all of it on.

    A job that must end soon is not quantised any more.

    Raises HyperparameterError: quantize=int8, and it is not possible.
    """
    network = learner.network
    if learner.int8 is not None:
        int8 = learner.int8.with_head(network)
    else:
        int8 = None if is_hurried else _quantize_after(start, data, network, device)
    count = CHECKED_PICTURES_IN_A_HURRY if is_hurried else CHECKED_PICTURES
    return Variants(
        check=check_of(judged, start.preprocess, count),
        int8=int8,
        has_gpu=device.is_cuda,
        threads=device.cpus,
    )


def _quantize_after(start: Start, data: JobData, network: Network, device: Device) -> Any:
    """The trained `network` in int8, an openvino.Model of the whole; None where that fails."""
    if start.values.quantize == "none":
        return None
    try:
        pictures = _calibration(data, start.preprocess, start.values.quantize)
        trunk = Int8Trunk.of(network, start.preprocess.crop_px, pictures, device.cpus)
    except QuantizeError as error:
        _refuse(start.values.quantize, str(error), Group())
        return None
    return trunk.with_head(network)


def check_of(judged: Judged, preprocess: Preprocess, most: int = CHECKED_PICTURES) -> Check:
    """Pictures of validation, evenly chosen, with what the trained network said of them."""
    chosen, images = [], []
    for index in _evenly(len(judged.pictures), most):
        try:
            images.append(_decode(judged.pictures[index], preprocess))
        except OSError:
            continue  # on another host's shard
        chosen.append(index)
    side = preprocess.crop_px
    return Check(
        images_NHWC=np.stack(images) if images else np.empty((0, side, side, 3), np.uint8),
        targets=np.array([judged.pictures[i].class_index for i in chosen], dtype=np.int64),
        trained=judged.scores.probabilities[chosen].float().cpu().numpy(),
    )


def _quantize_first(start: Start, data: JobData, device: Device) -> Int8Trunk:
    """Raises QuantizeError: too few pictures, an unknown layer, or a trunk that int8 spoils."""
    started = time.perf_counter()
    pictures = _calibration(data, start.preprocess, start.values.quantize)
    network = start.network
    own = TorchFeatures(network, device)(pictures).cpu().numpy()
    trunk = Int8Trunk.of(network.cpu(), start.preprocess.crop_px, pictures, device.cpus)
    network.to(device.torch)
    noise = noise_share(own, trunk.features(pictures))
    if start.values.quantize == "auto" and not noise <= MOST_NOISE:
        raise QuantizeError(f"int8 changes the trunk's features too much (noise {noise:.2f})")
    log.info(
        "int8   trunk quantised on %d training pictures, noise %.3f (%.1f s); the head is trained "
        "on it",
        len(pictures),
        noise,
        time.perf_counter() - started,
    )
    return trunk


def noise_share(own_ND: np.ndarray, int8_ND: np.ndarray) -> float:
    """Variance that int8 adds to features, as a share of what they vary between pictures."""
    signal = float(own_ND.astype(np.float64).var(axis=0).sum())
    noise = float(np.square(int8_ND.astype(np.float64) - own_ND).mean(axis=0).sum())
    return noise / signal if signal > 0 else float(noise > 0)


def _calibration(data: JobData, preprocess: Preprocess, wanted: str) -> Pixels:
    """uint8 (N, H, W, 3) of training pictures, evenly chosen. Raises QuantizeError."""
    readable = []
    every = data.train.pictures
    for index in _evenly(len(every), CALIBRATION_PICTURES):
        try:
            readable.append(_decode(every[index], preprocess))
        except (ImageError, OSError):
            continue  # counted and told when its features are computed
    fewest = FEWEST_PICTURES if wanted == "auto" else 1
    if len(readable) < fewest:
        raise QuantizeError(f"{len(readable)} training pictures are too few to calibrate on")
    return np.stack(readable)


def _decode(picture: Picture, preprocess: Preprocess) -> Pixels:
    return decode_picture(picture.path.read_bytes(), preprocess)


def _evenly(count: int, most: int) -> list[int]:
    """At most `most` of `count` indices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def _refuse(wanted: str, reason: str, group: Group) -> None:
    if wanted == "int8":
        raise HyperparameterError("quantize", wanted, f"auto or none: {reason}")
    if group.is_leader:
        log.info("note   no int8: %s", reason)

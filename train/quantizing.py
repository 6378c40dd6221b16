"""Quantizing: int8 for serving on CPUs, before training where the trunk is frozen, else after.

Quantising a finished network flips some of its answers. A head that was trained on the quantised
trunk's features knows nothing else: what is served is what was trained.
"""

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from classifier.export import Variants, variant_names
from classifier.measure import Check
from classifier.network import Network
from classifier.preprocess import Pixels, decode_picture
from classifier.quantize import CALIBRATION_PICTURES
from classifier.trunk_graph import TrunkGraph
from contract.errors import HyperparameterError, ImageError, QuantizeError
from contract.manifest import Preprocess, VariantName
from train.cache import digest_of
from train.data import JobData, Picture
from train.device import Device
from train.feature_cache import decoding_key
from train.frozen import FrozenTrunk, answer
from train.group import Group
from train.learner import Judged, Learner
from train.start import Start
from train.trunk_cache import Facts, TrunkCache

log = logging.getLogger(__name__)

FEWEST_PICTURES = 16  # to calibrate on; with fewer, auto leaves int8 alone
NOISE_PICTURES = 16  # to compare int8 with float32 on
CHECKED_PICTURES_IN_A_HURRY = 32
CHECKED_PICTURES = 256  # of validation, for what the bundle says about its variants
# Share of the features' variance over pictures that int8 may add as noise. Above it a trunk has
# layers that int8 does not suit, and a head cannot make up for that: auto goes without int8 then.
MOST_NOISE = 0.25


def find_int8(
    start: Start, data: JobData, device: Device, graphs: TrunkCache, group: Group
) -> TrunkGraph | None:
    """The frozen trunk of `start` in int8, the same in all processes; None to train on its own.

    Raises HyperparameterError: quantize=int8, and it is not possible.
    """
    wanted = start.values.quantize
    if wanted == "none" or (wanted == "auto" and device.is_cuda):
        return None
    trunk, reason = None, ""
    if group.is_leader:
        try:
            trunk = _quantize_first(start, data, graphs)
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
    recipe = group.share(trunk.recipe if trunk else "")
    return trunk or TrunkGraph.from_bytes(sent, variant="int8", threads=device.cpus, recipe=recipe)


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
    network, frozen = learner.network, learner.frozen
    if learner.int8 is not None:
        int8 = learner.int8.with_head(network)
    else:
        int8 = None if is_hurried else _quantize_after(start, data, learner, device)
    count = CHECKED_PICTURES_IN_A_HURRY if is_hurried else CHECKED_PICTURES
    names = variant_names(has_int8=int8 is not None, has_gpu=device.is_cuda)
    if frozen is None:
        check = check_of(judged, start.preprocess, count)
        return Variants(check=check, int8=int8, has_gpu=device.is_cuda, threads=device.cpus)
    speeds = frozen.speeds(len(data.labels))
    return Variants(
        check=_known_check(judged, frozen, network, names, count),
        graph=frozen.graphs.f32.with_head(network),
        int8=int8,
        has_gpu=device.is_cuda,
        threads=device.cpus,
        speed_of=speeds.get,
        on_speed=speeds.put,
    )


def _quantize_after(start: Start, data: JobData, learner: Learner, device: Device) -> Any:
    """The trained network in int8, an openvino.Model of the whole; None where that fails."""
    if start.values.quantize == "none":
        return None
    network, frozen = learner.network, learner.frozen
    try:
        fewest = _fewest(start.values.quantize)
        pictures = _decoded(_calibration(data), start.preprocess, fewest)
        side = start.preprocess.crop_px
        f32 = frozen.graphs.f32 if frozen else TrunkGraph.of(network, side, threads=device.cpus)
        return f32.quantized(pictures).with_head(network)
    except QuantizeError as error:
        _refuse(start.values.quantize, str(error), Group())
        return None


def check_of(judged: Judged, preprocess: Preprocess, most: int = CHECKED_PICTURES) -> Check:
    """Pictures of validation, evenly chosen, with what the trained network said of them."""
    chosen, images = _read(judged, preprocess, most)
    return _check(judged, chosen, images, {})


def _known_check(
    judged: Judged, frozen: FrozenTrunk, network: Network, names: list[VariantName], most: int
) -> Check:
    """As `check_of`, with the answers that take no more than the head, for features are known."""
    chosen, images = _evenly(len(judged.pictures), most), np.empty((0, 1, 1, 3), np.uint8)
    if not set(names) <= {"f32", "int8"}:
        chosen, images = _read(judged, frozen.preprocess, most)
    known: dict[str, np.ndarray] = {}
    if frozen.graph is not frozen.graphs.f32:
        rows = frozen.compute_f32([judged.pictures[index] for index in chosen])
        chosen = [chosen[place] for place in rows.indices]  # without other hosts' shards
        known["f32"] = answer(rows.rows_NVD[:, 0], network.head).numpy()
    check = _check(judged, chosen, images, known)
    if frozen.graph is not None:
        known[frozen.graph.variant] = check.trained
    return check


def _read(judged: Judged, preprocess: Preprocess, most: int) -> tuple[list[int], Pixels]:
    """Which pictures, and uint8 (N, H, W, 3)."""
    chosen, images = [], []
    for index in _evenly(len(judged.pictures), most):
        with contextlib.suppress(OSError):  # on another host's shard
            images.append(_decode(judged.pictures[index], preprocess))
            chosen.append(index)
    side = preprocess.crop_px
    return chosen, np.stack(images) if images else np.empty((0, side, side, 3), np.uint8)


def _check(
    judged: Judged, chosen: list[int], images: Pixels, known: dict[str, np.ndarray]
) -> Check:
    return Check(
        images_NHWC=images,
        targets=np.array([judged.pictures[i].class_index for i in chosen], dtype=np.int64),
        trained=judged.scores.probabilities[chosen].float().cpu().numpy(),
        known=known,
    )


def _quantize_first(start: Start, data: JobData, graphs: TrunkCache) -> TrunkGraph:
    """Raises QuantizeError: too few pictures, an unknown layer, or a trunk that int8 spoils."""
    started, wanted = time.perf_counter(), start.values.quantize
    fewest = _fewest(wanted)
    contents = _calibration(data)

    def make(recipe: str) -> tuple[TrunkGraph, Facts]:
        pictures = _decoded(contents, start.preprocess, fewest)
        trunk = graphs.f32.quantized(pictures, recipe)
        some = pictures[_evenly(len(pictures), NOISE_PICTURES)]
        own = graphs.f32.features(some)
        # One by one, too: an int8 graph may compute one picture otherwise than several.
        alone = np.concatenate([trunk.features(one[None]) for one in some])
        noise = max(noise_share(own, trunk.features(some)), noise_share(own, alone))
        return trunk, {"noise": noise, "pictures": len(pictures)}

    calibration = {
        "pictures": [digest_of(content).hex() for content in contents],
        "preprocess": asdict(start.preprocess),
        "decoding": decoding_key(),
    }
    trunk, facts, was_kept = graphs.int8(calibration, make)
    noise = float(facts["noise"])
    _refuse_few(int(facts["pictures"]), fewest)  # those of an earlier job may be fewer
    if wanted == "auto" and not noise <= MOST_NOISE:
        raise QuantizeError(f"int8 changes the trunk's features too much (noise {noise:.2f})")
    log.info(
        "int8   trunk %s on %d training pictures, noise %.3f (%.1f s); the head is trained on it",
        "of an earlier job, quantised" if was_kept else "quantised",
        len(contents),
        noise,
        time.perf_counter() - started,
    )
    return trunk


def noise_share(own_ND: np.ndarray, int8_ND: np.ndarray) -> float:
    """Variance that int8 adds to features, as a share of what they vary between pictures."""
    signal = float(own_ND.astype(np.float64).var(axis=0).sum())
    noise = float(np.square(int8_ND.astype(np.float64) - own_ND).mean(axis=0).sum())
    return noise / signal if signal > 0 else float(noise > 0)


def _calibration(data: JobData) -> list[bytes]:
    """The bytes of training pictures, evenly chosen; some may turn out to be unreadable."""
    found = []
    every = data.train.pictures
    for index in _evenly(len(every), CALIBRATION_PICTURES):
        with contextlib.suppress(OSError):  # counted and told when its features are computed
            found.append(every[index].read_bytes())
    return found


def _decoded(contents: Sequence[bytes], preprocess: Preprocess, fewest: int) -> Pixels:
    """uint8 (N, H, W, 3) of those that are readable. Raises QuantizeError."""
    readable = []
    for content in contents:
        with contextlib.suppress(ImageError):
            readable.append(decode_picture(content, preprocess))
    _refuse_few(len(readable), fewest)
    return np.stack(readable)


def _fewest(wanted: str) -> int:
    """Pictures to calibrate on: who asks for int8 by name gets it from one."""
    return FEWEST_PICTURES if wanted == "auto" else 1


def _refuse_few(count: int, fewest: int) -> None:
    if count < fewest:
        raise QuantizeError(f"{count} training pictures are too few to calibrate on")


def _decode(picture: Picture, preprocess: Preprocess) -> Pixels:
    return decode_picture(picture.read_bytes(), preprocess)


def _evenly(count: int, most: int) -> list[int]:
    """At most `most` of `count` indices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def _refuse(wanted: str, reason: str, group: Group) -> None:
    if wanted == "int8":
        raise HyperparameterError("quantize", wanted, f"auto or none: {reason}")
    if group.is_leader:
        log.info("note   no int8: %s", reason)

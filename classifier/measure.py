"""Measure: what a variant of the network answers, how well and how fast, at export."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from classifier.engine import Engine
from classifier.preprocess import Pixels
from contract.host import chip_name
from contract.manifest import Probe, Variant, VariantName

_BATCH_SIZE = 16
_TIMED_SECONDS = 0.5
# Largest difference of a probability that another chip may make: int8 and bf16 round where f32
# does not, and chips differ in how.
_TOLERANCE = {"f32": 1e-3, "int8": 2e-2, "bf16": 2e-2, "half": 2e-2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Validation pictures, and what training's network said of them."""

    images_NHWC: Pixels
    targets: NDArray[np.int64]  # (N,)
    trained: NDArray[np.float32]  # (N, K), probabilities of the network as trained
    # What the engine of a variant says of these pictures, (N, K), where that is known already.
    # When it is of all variants, `images_NHWC` may be empty.
    known: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def measure(
    name: VariantName,
    engine: Engine,
    probe: Pixels,
    check: Check,
    images_per_second: float | None = None,
) -> Variant:
    """Run every picture of `check` through `engine`, or take what it said of them earlier.

    Args:
        probe: uint8 (1, H, W, 3).
        images_per_second: as measured earlier on this chip; None: measured now.
    """
    answer = engine.probabilities(probe)[0]
    # Without a picture to compare on there is nothing to trust, but still a speed.
    images = check.images_NHWC if len(check.images_NHWC) else np.repeat(probe, _BATCH_SIZE, axis=0)
    rows = check.known.get(name)
    if rows is None:
        parts = np.split(images, range(_BATCH_SIZE, len(images), _BATCH_SIZE))
        rows = np.concatenate([engine.probabilities(part) for part in parts])
    top = rows.argmax(axis=1)[: len(check.targets)]
    speed = images_per_second or round(_speed(engine, images[:_BATCH_SIZE]), 1)
    return Variant(
        name=name,
        agreement=_share(top == check.trained.argmax(axis=1)),
        accuracy=_share(top == check.targets),
        num_pictures=len(top),
        images_per_second=speed,
        chip=chip_name(),
        probe=Probe(probabilities=tuple(answer.tolist()), tolerance=_TOLERANCE[name]),
    )


def is_steady(variant: Variant, engine: Engine, probe: Pixels) -> bool:
    """Whether one picture gets the same answer alone and among others, within the tolerance.

    An int8 graph of OpenVINO may choose other kernels for a single picture (2026.4.1, a trained
    shufflenet_v2_x1_0 at 32 px: 0.15 alone, 0.46 among others). No server could trust it.
    """
    among = engine.probabilities(np.repeat(probe, 2, axis=0))[0]
    difference = np.abs(among - np.array(variant.probe.probabilities, np.float32)).max()
    return bool(difference <= variant.probe.tolerance)


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _speed(engine: Engine, images_NHWC: Pixels) -> float:
    """Pictures a second in whole batches; the fastest of a few, since others use the machine."""
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < _TIMED_SECONDS:
        begin = time.perf_counter()
        engine.probabilities(images_NHWC)
        best = min(best, time.perf_counter() - begin)
    return len(images_NHWC) / best

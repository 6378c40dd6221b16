"""Measure: what a variant of the network answers, how well and how fast, at export."""

import time
from dataclasses import dataclass

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


def measure(name: VariantName, engine: Engine, probe: Pixels, check: Check) -> Variant:
    """Run every picture of `check` through `engine`. `probe`: uint8 (1, H, W, 3)."""
    answer = engine.probabilities(probe)[0]
    # Without a picture to compare on there is nothing to trust, but still a speed.
    images = check.images_NHWC if len(check.targets) else probe
    rows = [
        engine.probabilities(images[first : first + _BATCH_SIZE])
        for first in range(0, len(images), _BATCH_SIZE)
    ]
    top = np.concatenate(rows).argmax(axis=1)[: len(check.targets)]
    return Variant(
        name=name,
        agreement=_share(top == check.trained.argmax(axis=1)),
        accuracy=_share(top == check.targets),
        num_pictures=len(top),
        images_per_second=round(_speed(engine, images[:_BATCH_SIZE]), 1),
        chip=chip_name(),
        probe=Probe(probabilities=tuple(answer.tolist()), tolerance=_TOLERANCE[name]),
    )


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

"""Batching: is a network faster over several pictures than over one? Measured when it is loaded."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from classifier.preprocess import Pixels

Compute = Callable[[Pixels], NDArray[np.float32]]

SIZES = (2, 4, 8)
# Where one picture takes so long, its arithmetic fills the processor, and every picture would wait
# for its company to be computed: no batches in float32 (resnet50: 0 to 5 % gained). In int8 the
# weights are what lanes wait for, and two pictures share one reading of them: 4 to 6 %, and no
# more with four or eight. A lane alone measures none of that, so it is a rule.
LONG_SECONDS = 0.012
LONG_BATCH = 2
LEAST_GAIN = 1.1  # a batch must be so much faster than its pictures one by one
_TRIALS = 5


def is_long(compute: Compute, example: Pixels) -> bool:
    """True when batches are not worth a look. `example`: uint8 (1, H, W, 3)."""
    return _fastest_seconds(compute, example) > LONG_SECONDS


def best_batch(single: Compute, many: Compute, example: Pixels) -> int:
    """The smallest size that is clearly faster a picture than all smaller ones; 1 if none is."""
    best_size, best_seconds = 1, _fastest_seconds(single, example)
    for size in SIZES:
        seconds = _fastest_seconds(many, np.repeat(example, size, axis=0)) / size
        if seconds * LEAST_GAIN < best_seconds:
            best_size, best_seconds = size, seconds
    return best_size


def _fastest_seconds(compute: Compute, images: Pixels) -> float:
    """Of a few calls, the first one not counted: others use the processor, too."""
    compute(images)
    seconds = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        compute(images)
        seconds.append(time.perf_counter() - started)
    return min(seconds)

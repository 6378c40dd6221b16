"""Bare: the trunk pass beside its two parts alone, in one process and in turns.

`python -m benchmarks.train_bare FOLDER ROUNDS MOST -- FLAGS`: the flags of `python -m train`
say which pictures (at most MOST of them), network and engine. Prints one JSON object: seconds a
picture of the pass (cold cache), of decoding and of computing, a value a round.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from train.cache import Cache
from train.device import Device, choose_device
from train.features import compute_rows
from train.frozen import FrozenTrunk
from train.group import Group
from train.learning import Ready, get_ready
from train.options import job_from_flags
from train.quantizing import find_int8
from train.trunk_pass import Trunk

BATCHES = (1, 4, 8, 16, 32)


class Bare:
    """A trunk and pictures, in files, in memory and decoded."""

    def __init__(self, ready: Ready, folder: Path, most: int) -> None:
        self._ready, self._folder = ready, folder
        self._pictures = ready.data.train.pictures[:most]
        first = FrozenTrunk(ready.start, ready.device, Cache(folder / "first"))
        self._int8 = find_int8(ready.start, ready.data, ready.device, first.graphs, Group())
        first.int8 = self._int8
        self._crop = first.crop
        self._bytes = [picture.path.read_bytes() for picture in self._pictures]
        self._pixels = np.stack([self._crop(data) for data in self._bytes])
        self._trunk: Trunk = first.trunk
        self._trunk(self._pixels[:1])  # compiles

    @property
    def engine(self) -> str:
        """What computes here."""
        key = self._trunk.key or {}  # a cache is on: it is known
        return f"{key.get('engine')} {key.get('variant') or key.get('dtype')}"

    def trunk_pass(self, number: int) -> float:
        """From files to features, as a job does it, into a cache that is empty."""
        cache = Cache(self._folder / f"round-{number}")
        frozen = FrozenTrunk(self._ready.start, self._ready.device, cache)
        frozen.int8 = self._int8
        source = frozen.source(None, len(self._pictures))
        return self._each(lambda: compute_rows(source, self._pictures, self._ready.device))

    def decode(self, device: Device) -> float:
        """From bytes in memory to pixels, in a thread a processor."""
        with ThreadPoolExecutor(device.cpus) as pool:
            return self._each(lambda: sum(1 for _ in pool.map(self._crop, self._bytes)))

    def compute(self, size: int) -> float:
        """From pixels to features, in batches of `size` in all lanes of the engine."""
        starts = range(0, len(self._pixels), size)
        batches = [np.ascontiguousarray(self._pixels[start : start + size]) for start in starts]
        with ThreadPoolExecutor(self._trunk.lanes) as pool:
            return self._each(lambda: sum(1 for _ in pool.map(self._trunk, batches)))

    @property
    def lanes(self) -> int:
        """Calls side by side."""
        return self._trunk.lanes

    def _each(self, work: Callable[[], Any]) -> float:
        started = time.perf_counter()
        work()
        return (time.perf_counter() - started) / len(self._pictures)


def main(words: Sequence[str]) -> None:
    split = words.index("--")
    folder, rounds, most = Path(words[0]), int(words[1]), int(words[2])
    job = job_from_flags(words[split + 1 :])
    device = choose_device("auto")
    bare = Bare(get_ready(job, folder, device, Group()), folder, most)
    trials = {size: bare.compute(size) for size in BATCHES}
    best = min(trials, key=trials.__getitem__)
    found: dict[str, list[float]] = {"pass": [], "decode": [], "compute": []}
    orders = itertools.cycle(itertools.permutations(found))
    for number, order in zip(range(rounds), orders, strict=False):
        measures = {
            "pass": lambda number=number: bare.trunk_pass(number),
            "decode": lambda: bare.decode(device),
            "compute": lambda: bare.compute(best),
        }
        for name in order:
            found[name].append(measures[name]())
    facts = {"engine": bare.engine, "batch": best, "lanes": bare.lanes}
    print(json.dumps({**facts, **found}))


if __name__ == "__main__":
    main(sys.argv[1:])

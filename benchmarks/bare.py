"""Bare: what decoding and computing cost without a server, in a process of their own.

`python -m benchmarks.bare BUNDLE VARIANT PICTURES` reads one JSON object a line from stdin and
answers each with one line: how many pictures, in how many seconds, for how much CPU time.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.layout import NUM_PICTURES
from benchmarks.pictures import read_pictures
from classifier.classifier import Classifier
from classifier.preprocess import decode_picture
from contract.host import cpu_limit


class Bare:
    """The pieces of the server, called directly."""

    def __init__(self, bundle: Path, variant: str, pictures: Path) -> None:
        self._bundle, self._variant = bundle, variant
        self._loaded: dict[int, Classifier] = {}
        self._pictures = read_pictures(pictures, NUM_PICTURES)
        self._preprocess = self._classifier(1).preprocess
        self._pixels = np.stack([decode_picture(item, self._preprocess) for item in self._pictures])

    def facts(self, **_: Any) -> dict[str, Any]:
        """What is computed here, and what it answers to each picture."""
        classifier = self._classifier(1)
        return {
            "engine": classifier.engine_name,
            "variant": classifier.variant,
            "why": classifier.why,
            "batch_size": self._classifier(cpu_limit()).batch_size,
            "labels": [item.label for item in classifier.predict(self._pixels)],
        }

    def decode(self, threads: int, seconds: float) -> dict[str, float]:
        """Bytes to pixels in `threads` threads at once."""

        def one(position: int) -> int:
            decode_picture(self._pictures[position % len(self._pictures)], self._preprocess)
            return 1

        return _run(one, threads, seconds)

    def infer(self, lanes: int, batch: int, seconds: float) -> dict[str, float]:
        """Pixels to probabilities, `lanes` calls at once of `batch` pictures each."""
        classifier = self._classifier(lanes)
        batches = [
            np.ascontiguousarray(np.roll(self._pixels, -first, axis=0)[:batch])
            for first in range(len(self._pixels))
        ]

        def one(position: int) -> int:
            classifier.probabilities(batches[position % len(batches)])
            return batch

        return _run(one, lanes, seconds)

    def _classifier(self, lanes: int) -> Classifier:
        if lanes not in self._loaded:
            self._loaded[lanes] = Classifier.load(
                self._bundle, variant=self._variant, threads=cpu_limit(), lanes=lanes
            )
        return self._loaded[lanes]


def _run(one: Callable[[int], int], threads: int, seconds: float) -> dict[str, float]:
    """Call `one` in so many threads; the first call of each is not counted."""
    done = [0] * threads
    go = threading.Barrier(threads + 1)
    deadline = 0.0

    def loop(number: int) -> None:
        position = number
        one(position)
        go.wait()
        go.wait()
        while time.perf_counter() < deadline:
            position += threads
            done[number] += one(position)

    workers = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    go.wait()
    begin, cpu = time.perf_counter(), time.process_time()
    deadline = begin + seconds
    go.wait()
    for worker in workers:
        worker.join()
    return {
        "pictures": sum(done),
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu,
    }


def main() -> None:
    """Answer until stdin ends."""
    bare = Bare(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    for line in sys.stdin:
        asked = json.loads(line)
        answer = getattr(bare, asked.pop("what"))(**asked)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""TransformCount: how many objects of a batch transform have an answer by now.

A listing comes a thousand keys at a time, one page after another; so it is begun at many places at
once, which are known: answers have the names of the pictures.
"""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from control.s3 import S3, S3Uri

OUT = ".out"  # what SageMaker adds to an object's name
RANGES = 16  # listed at the same time
FEWEST = 2000  # answers for each range: below that, one listing is as quick
SHARE = 0.05  # of the time that may go into counting


def boundaries_of(names: Iterable[bytes], total: int) -> list[str]:
    """Names that cut a listing of `total` into pieces of much the same size, in S3's order."""
    ranges = min(RANGES, total // FEWEST)
    if ranges < 2:
        return []
    wanted = {total * number // ranges for number in range(1, ranges)}
    picked = {name for number, name in enumerate(names) if number in wanted}
    return [name.decode("utf-8", "replace") for name in sorted(picked)]


class AnswerCount:
    """Counts now and then: the more there is to list, the less often.

    Args:
        answers: the job's folder.
    """

    def __init__(self, s3: S3, answers: S3Uri, boundaries: Sequence[str]) -> None:
        self._s3, self._answers = s3, answers
        folder = answers.folder().key
        self._edges = [folder + name for name in boundaries]
        self._next = 0.0
        self.last = 0

    def look(self) -> int:
        """The number, counted anew when it is time. Raises AwsError."""
        if time.monotonic() >= self._next:
            began = time.monotonic()
            self.last = self.count()
            now = time.monotonic()
            self._next = now + (now - began) / SHARE
        return self.last

    def count(self) -> int:
        """Counted now, in all ranges at once. Raises AwsError."""
        lows, highs = ["", *self._edges], [*self._edges, ""]
        with ThreadPoolExecutor(len(lows), thread_name_prefix="count") as pool:
            return sum(pool.map(self._count, lows, highs))

    def _count(self, low: str, high: str) -> int:
        """Of keys after `low`, up to `high`."""
        found = 0
        for key in self._s3.list(self._answers, after=low):
            if high and key.encode() > high.encode():
                break
            found += key.endswith(OUT)
        return found

"""PictureStore: decoded uint8 pictures of one split, by threads, kept while they fit."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from classifier.preprocess import Pixels
from contract.errors import DataError, ImageError
from train.data import Picture, Split

log = logging.getLogger(__name__)

Decode = Callable[[bytes], Pixels]


class PictureStore:
    """Readable pictures of a split, in its order. `fill` decodes them all once.

    What exceeds the budget is decoded again on demand, so memory stays bounded.
    """

    def __init__(self, split: Split, decode: Decode, budget_bytes: int, num_threads: int) -> None:
        self._split, self._decode = split, decode
        self._budget_bytes, self._num_threads = budget_bytes, num_threads
        self._kept: dict[int, Pixels] = {}
        self.pictures: list[Picture] = []
        self.unreadable: list[tuple[str, str]] = []  # path and reason
        self.num_bytes = 0

    def fill(self, max_unreadable: float, on_picture: Callable[[int], None]) -> None:
        """Decode every picture once; unreadable ones are left out of `pictures` and listed.

        Raises DataError: the unreadable share is above `max_unreadable`, or nothing is left.
        """
        for picture, pixels, reason in decode_all(
            self._split.pictures, self._decode, self._num_threads
        ):
            if pixels is None:
                self.unreadable.append((str(picture.path), reason))
            else:
                self._keep(len(self.pictures), pixels)
                self.pictures.append(picture)
            on_picture(1)
        check_unreadable(self._split, self.unreadable, max_unreadable)

    def _keep(self, index: int, pixels: Pixels) -> None:
        if self.num_bytes + pixels.nbytes <= self._budget_bytes:
            self._kept[index] = pixels
            self.num_bytes += pixels.nbytes

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Pixels:
        kept = self._kept.get(index)
        return kept if kept is not None else self._decode(self.pictures[index].path.read_bytes())

    @property
    def targets(self) -> np.ndarray:
        """Class indices, int64 (N,)."""
        return np.array([picture.class_index for picture in self.pictures], dtype=np.int64)


def decode_all(
    pictures: tuple[Picture, ...], decode: Decode, num_threads: int
) -> Iterator[tuple[Picture, Pixels | None, str]]:
    """(picture, pixels or None, reason) in order; threads decode a bounded number ahead.

    Pillow lets go of the interpreter lock while it decodes and resizes, so threads suffice.
    """

    def attempt(picture: Picture) -> tuple[Picture, Pixels | None, str]:
        try:
            return picture, decode(picture.path.read_bytes()), ""
        except (ImageError, OSError) as error:
            return picture, None, str(error)

    queue = iter(pictures)
    with ThreadPoolExecutor(num_threads, thread_name_prefix="decode") as pool:
        ahead = [pool.submit(attempt, picture) for picture in islice(queue, 16 * num_threads)]
        ahead.reverse()
        while ahead:
            done = ahead.pop()
            ahead[:0] = [pool.submit(attempt, picture) for picture in islice(queue, 1)]
            yield done.result()


def check_unreadable(
    split: Split, unreadable: list[tuple[str, str]], max_unreadable: float
) -> None:
    """Warn about skipped pictures. Raises DataError above the allowed share."""
    if not unreadable:
        return
    path, reason = unreadable[0]
    share = len(unreadable) / len(split)
    summary = (
        f"{split.name}: {len(unreadable)} of {len(split)} pictures are unreadable, "
        f"first {path}: {reason}"
    )
    if share > max_unreadable or len(unreadable) == len(split):
        raise DataError(
            f"{summary}; allowed is a share of {max_unreadable:g} (max-unreadable): "
            "remove or replace them"
        )
    log.warning("warning: %s; they are skipped and listed in unreadable.csv", summary)

"""PictureStore: decoded uint8 pictures of one split, by threads, kept while they fit."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

from classifier.preprocess import Pixels
from contract.errors import DataError, ImageError
from train.data import Picture, Split
from train.group import Group
from train.shares import Shares

log = logging.getLogger(__name__)

Decode = Callable[[bytes], Pixels]
T = TypeVar("T")
Unreadable = dict[int, str]  # index in the split, reason


class PictureStore:
    """Readable pictures of a split, in its order. `fill` looks at each once, in some process.

    What exceeds the budget, or was first looked at by another process, is decoded on demand, so
    memory stays bounded.
    """

    def __init__(self, split: Split, decode: Decode, budget_bytes: int, num_threads: int) -> None:
        self._split, self._decode = split, decode
        self._budget_bytes, self._num_threads = budget_bytes, num_threads
        self._kept: dict[int, Pixels] = {}
        self.pictures: list[Picture] = []
        self.unreadable: list[tuple[str, str]] = []  # path and reason
        self.num_bytes = 0

    def fill(
        self,
        max_unreadable: float,
        on_picture: Callable[[int], None],
        group: Group | None = None,
    ) -> None:
        """Decode our share; what any process cannot read is left out of `pictures` and listed.

        Raises DataError: the unreadable share is above `max_unreadable`, or nothing is left.
        """
        group, every = group or Group(), self._split.pictures
        ours = Shares(every, group).of_all(len(every))
        decoded: dict[int, Pixels] = {}
        bad: Unreadable = {}
        chosen = [every[index] for index in ours]
        for index, (_, pixels, reason) in zip(
            ours, decode_all(chosen, self._decode, self._num_threads), strict=True
        ):
            if pixels is None:
                bad[int(index)] = reason
            elif self._fits(pixels):
                decoded[int(index)] = pixels
            on_picture(1)
        bad = pool_unreadable(self._split, bad, max_unreadable, group)
        self.unreadable = [(str(every[index].path), reason) for index, reason in bad.items()]
        for index, picture in enumerate(every):
            if index not in bad:
                if index in decoded:
                    self._kept[len(self.pictures)] = decoded[index]
                self.pictures.append(picture)

    def _fits(self, pixels: Pixels) -> bool:
        if self.num_bytes + pixels.nbytes > self._budget_bytes:
            return False
        self.num_bytes += pixels.nbytes
        return True

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Pixels:
        kept = self._kept.get(index)
        if kept is None:
            kept = self._decode(self.pictures[index].read_bytes())
            if self._fits(kept):
                self._kept[index] = kept
        return kept

    @property
    def targets(self) -> np.ndarray:
        """Class indices, int64 (N,)."""
        return np.array([picture.class_index for picture in self.pictures], dtype=np.int64)


def decode_all(
    pictures: Sequence[Picture], decode: Callable[[bytes], T], num_threads: int
) -> Iterator[tuple[Picture, T | None, str]]:
    """(picture, what `decode` makes of it or None, reason) in order.

    Threads decode a bounded number ahead: Pillow lets go of the interpreter lock meanwhile.
    """

    def attempt(picture: Picture) -> tuple[Picture, T | None, str]:
        try:
            return picture, decode(picture.read_bytes()), ""
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


def pool_unreadable(
    split: Split, unreadable: Unreadable, max_unreadable: float, group: Group
) -> Unreadable:
    """What all processes could not read, by ascending index; the leader warns.

    Raises DataError above the allowed share.
    """
    parts = group.gather(sorted(unreadable.items()))
    pooled = {int(index): str(reason) for part in parts for index, reason in part}
    if pooled:
        _check_unreadable(split, dict(sorted(pooled.items())), max_unreadable, group.is_leader)
    return dict(sorted(pooled.items()))


def _check_unreadable(
    split: Split, unreadable: Unreadable, max_unreadable: float, is_told: bool
) -> None:
    index, reason = next(iter(unreadable.items()))
    summary = (
        f"{split.name}: {len(unreadable)} of {len(split)} pictures are unreadable, "
        f"first {split.pictures[index].path}: {reason}"
    )
    if len(unreadable) / len(split) > max_unreadable or len(unreadable) == len(split):
        raise DataError(
            f"{summary}; allowed is a share of {max_unreadable:g} (max-unreadable): "
            "remove or replace them"
        )
    if is_told:
        log.warning("warning: %s; they are skipped and listed in unreadable.csv", summary)

"""Shares: which pictures this process reads, so that no picture is worked on twice."""

from collections.abc import Sequence

import numpy as np

from train.data import Picture
from train.group import Group


class Shares:
    """Divides the pictures of a split among the processes of a group.

    Pictures that lie on every host are dealt out evenly. Pictures that lie on one host
    (ShardedByS3Key) belong to it, so the shares of a step may differ in size.
    """

    def __init__(self, pictures: Sequence[Picture], group: Group) -> None:
        self._rank, self._size = group.world.rank, group.world.size
        self._owners: np.ndarray | None = None  # int64 (N,): rank
        hosts = np.array([-1 if item.host is None else item.host for item in pictures], np.int64)
        if self._size > 1 and (hosts >= 0).any():
            local_size = group.world.local_size
            turns = np.arange(len(hosts))
            self._owners = np.where(
                hosts < 0, turns % self._size, hosts * local_size + turns % local_size
            )

    def of_all(self, count: int) -> np.ndarray:
        """Which of `count` pictures, the whole split, are ours: ascending indices."""
        return self.of_step(np.arange(count))

    def of_step(self, chosen: np.ndarray) -> np.ndarray:
        """Which places of `chosen`, the pictures of one step, are ours."""
        places = np.arange(len(chosen))
        if self._size == 1:
            return places
        if self._owners is None:
            return np.array_split(places, self._size)[self._rank]
        return places[self._owners[chosen] == self._rank]

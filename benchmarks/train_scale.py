"""Does time grow with the number of pictures, and no faster? One job of each size."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.many import write_many
from benchmarks.scale import Cost, measure
from benchmarks.terminal import say

COUNTS = (1_000, 4_000, 10_000)
MOST = 1.1  # times: a picture of the larger step in size against one of the smaller


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Costs in ascending order of size."""

    costs: Sequence[Cost]

    @property
    def steps_ms(self) -> tuple[float, ...]:
        """CPU milliseconds of each further picture, between one size and the next.

        What every job costs whatever its size cancels out.
        """
        return tuple(
            1e3 * (two.cpu_seconds - one.cpu_seconds) / (two.pictures - one.pictures)
            for one, two in itertools.pairwise(self.costs)
        )

    def bars(self) -> Iterator[Bar]:
        """None for fewer than three sizes."""
        ratios = tuple(later / earlier for earlier, later in itertools.pairwise(self.steps_ms))
        if ratios:
            name = "train-time-per-picture"
            yield Bar(name=name, value=max(ratios), target=MOST, at_most=True, values=ratios)


def measure_scale(folder: Path, counts: Sequence[int], weights: Path | None) -> Scale:
    """squeezenet1_1 on generated pictures, without any cache."""
    costs = []
    for count in sorted(counts):
        pictures = write_many(folder / str(count), count)
        costs.append(measure(pictures, count, weights))
        say(f"{count:,} pictures: {costs[-1].wall_seconds:.1f} s, {costs[-1].peak_mib:,.0f} MiB")
    return Scale(costs=costs)

"""Likeness: which pictures are the same, or look the same, as groups.

Two pictures look alike when few of their gradients differ and their thumbnails hardly do. A copy
that was resized, saved anew, stripped or turned by EXIF is found; a crop or a mirror image is not.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from control.data.look import GRADIENTS, THUMB_PX, Look

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BITS = 2 * GRADIENTS**2
MOST_BITS = 10  # of BITS that may differ between two that look alike
MOST_DIFFERENCE = 6.0  # of 255, the mean over a thumbnail
_PAIRS_AT_ONCE = 1 << 22
_WORD = (1 << 64) - 1


def groups_of(looks: Sequence[Look], most_bits: int = MOST_BITS) -> list[list[int]]:
    """Indices of two or more pictures that are alike, each group sorted; the largest first.

    Args:
        most_bits: 0 finds only pictures whose bytes or thumbnails are the same.
    """
    parents = list(range(len(looks)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[object, int] = {}
    different: list[int] = []  # one of those that are equal
    for index, look in enumerate(looks):
        if not look.sha256:
            continue
        keys: list[object] = [look.sha256]
        if not look.problem:
            keys.append((look.gradients, look.thumb))
        known = [first[key] for key in keys if key in first]
        for key in keys:
            first.setdefault(key, index)
        for other in known:
            parents[root(index)] = root(other)
        if not known and not look.problem:
            different.append(index)
    if most_bits:
        for one, other in _near(looks, different, most_bits):
            parents[root(one)] = root(other)
    groups: dict[int, list[int]] = {}
    for index in range(len(looks)):
        groups.setdefault(root(index), []).append(index)
    found = [group for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda group: (-len(group), group))


def difference(one: Look, other: Look) -> tuple[int, float]:
    """(bits of gradients, mean over the thumbnails): how unlike two pictures are."""
    bits = (one.gradients ^ other.gradients).bit_count()
    total = sum(abs(a - b) for a, b in zip(one.thumb, other.thumb, strict=True))
    return bits, total / max(1, len(one.thumb))


def _near(
    looks: Sequence[Look], chosen: Sequence[int], most_bits: int
) -> Iterator[tuple[int, int]]:
    """Pairs that look alike.

    Of two numbers that differ in n bits, one of n + 1 pieces is equal: only those are compared.
    """
    import numpy as np

    if len(chosen) < 2:
        return
    hashes = [looks[index].gradients for index in chosen]
    words = np.array([[value >> 64, value & _WORD] for value in hashes], dtype=np.uint64)
    joined = b"".join(looks[index].thumb for index in chosen)
    thumbs = np.frombuffer(joined, np.uint8).reshape(len(chosen), 3 * THUMB_PX**2)
    edges = [BITS * number // (most_bits + 1) for number in range(most_bits + 2)]
    seen: set[tuple[int, int]] = set()
    for low, high in itertools.pairwise(edges):
        mask = (1 << (high - low)) - 1
        pieces = np.array([value >> low & mask for value in hashes], dtype=np.uint64)
        order = np.argsort(pieces, kind="stable")
        starts = np.flatnonzero(np.diff(pieces[order])) + 1
        bounds = [0, *starts.tolist(), len(chosen)]
        for begin, end in itertools.pairwise(bounds):
            if end - begin > 1:
                for one, other in _alike(words, thumbs, order[begin:end], most_bits):
                    pair = (min(one, other), max(one, other))
                    if pair not in seen:
                        seen.add(pair)
                        yield chosen[pair[0]], chosen[pair[1]]


def _alike(
    words: "NDArray[np.uint64]", thumbs: "NDArray[np.uint8]", rows: "NDArray[np.int64]", most: int
) -> Iterator[tuple[int, int]]:
    """Pairs among `rows`, all with all."""
    import numpy as np

    step = max(1, _PAIRS_AT_ONCE // len(rows))
    for start in range(0, len(rows), step):
        block, rest = rows[start : start + step], rows[start:]
        bits = np.bitwise_count(words[block, None] ^ words[None, rest]).sum(axis=2)
        ones, others = np.nonzero(bits <= most)
        later = others > ones
        for one, other in zip(block[ones[later]], rest[others[later]], strict=True):
            apart = np.abs(thumbs[one].astype(np.int16) - thumbs[other]).mean()
            if apart <= MOST_DIFFERENCE:
                yield int(one), int(other)

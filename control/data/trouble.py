"""Trouble: the kinds of it that a data set may have, and from where on it counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from control.data.likeness import MOST_BITS

# Kind -> whether it spoils a training, and what it is. Errors first; docs/data.md.
KINDS: Mapping[str, tuple[bool, str]] = {
    "leak": (True, "pictures of one split are in another, too"),
    "corrupt": (True, "pictures that training cannot read"),
    "conflict": (True, "the same picture has two labels"),
    "empty": (True, "classes without a picture"),
    "unknown": (True, "classes that train lacks"),
    "label": (True, "labels that training refuses"),
    "stray": (True, "pictures right in a split's folder: training refuses it, or passes it over"),
    "missing": (False, "classes of train that another split lacks"),
    "duplicate": (False, "the same picture more than once in a class"),
    "tiny": (False, "classes with few pictures"),
    "imbalance": (False, "classes of very different sizes"),
    "small": (False, "pictures of few pixels"),
    "turned": (False, "pictures that EXIF turns"),
    "mode": (False, "pictures that are not 8-bit RGB or grey"),
    "animated": (False, "pictures of several frames: only the first counts"),
    "outside": (False, "pictures outside of class folders"),
    "other": (False, "files that are no pictures"),
    "name": (False, "names that make trouble elsewhere"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What counts as trouble."""

    near_bits: int = MOST_BITS  # see likeness.py; 0: only the same
    least_pictures: int = 10  # of a class, in train
    most_ratio: float = 10.0  # of the largest class in train to the smallest
    allowed: frozenset[str] = frozenset()  # kinds that spoil nothing here


class Trouble(NamedTuple):
    """One kind of it, with all that it was found in."""

    kind: str  # of KINDS
    text: str  # one sentence without its full stop
    num_found: int
    names: Sequence[str] = ()  # pictures, folders, labels
    groups: Sequence[Sequence[str]] = ()  # pictures that belong together


def some(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more

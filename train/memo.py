"""Memo: what a process need not work out again for its next trial."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from train.cache import Cache

T = TypeVar("T")

# Of each kind: trials that differ in what the trunk sees take turns, and features take memory.
MOST = 2


class Same:
    """Compares as one and the same object, which it keeps alive."""

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other._thing is self._thing

    def __hash__(self) -> int:
        return id(self._thing)


class Memo:
    """Keeps the last few values of each kind, by what they were made from. For one thread."""

    def __init__(self, cache: Cache | None = None) -> None:
        """`cache`: None for the one that the environment names. Raises HostError."""
        self.cache = cache or Cache.of()
        self._kept: dict[str, OrderedDict[Hashable, object]] = {}

    def once(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, made now unless it is kept. Nobody may change it."""
        kept = self._kept.setdefault(kind, OrderedDict())
        if key not in kept:
            made = make()
            while len(kept) >= MOST:
                kept.popitem(last=False)
            kept[key] = made
        kept.move_to_end(key)
        return kept[key]  # type: ignore[return-value]

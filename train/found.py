"""Found: the pictures that one host sees in its channels, and those of all hosts together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Entry = tuple[str, str]  # label, file name relative to the split's root


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSplit:
    """One split on one host."""

    root: Path
    source: Path  # what messages call it: a folder or a manifest
    entries: tuple[Entry, ...]
    problem: str = ""  # why this host found nothing; another host may have
    shards: tuple[str, ...] = ()  # paths of those on this host that hold some of the entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one host found. Travels between hosts as JSON."""

    splits: dict[str, FoundSplit]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The inverse of `of_json`."""
        return {
            "notes": self.notes,
            "splits": {
                name: {
                    "root": str(split.root),
                    "source": str(split.source),
                    "entries": split.entries,
                    "problem": split.problem,
                    "shards": split.shards,
                }
                for name, split in self.splits.items()
            },
        }

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> "Found":
        """What another process found."""
        return cls(
            notes=tuple(value["notes"]),
            splits={
                name: FoundSplit(
                    root=Path(split["root"]),
                    source=Path(split["source"]),
                    entries=tuple((label, file) for label, file in split["entries"]),
                    problem=split["problem"],
                    shards=tuple(split["shards"]),
                )
                for name, split in value["splits"].items()
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledSplit:
    """One split on all hosts."""

    root: Path  # on this host
    source: Path
    entries: tuple[tuple[str, str, int | None], ...]  # label, file, index of the host that reads it
    problem: str = ""
    shards: tuple[str, ...] = ()  # on this host
    counts: tuple[int, ...] = field(default=())  # pictures on each host when they differ


def pool(founds: Sequence[Found], ours: int) -> dict[str, PooledSplit]:
    """All hosts' pictures, each once; `founds` by host, `ours` is this host's index.

    A picture is known by its label and its name in the channel. What lies on all hosts has no
    host of its own; what lies on some is read by the first of them.
    """
    names = {name for found in founds for name in found.splits}
    empty = FoundSplit(root=Path(), source=Path(), entries=())
    pooled = {}
    for name in sorted(names):
        splits = [found.splits.get(name, empty) for found in founds]
        first = next((split for split in splits if split.entries), splits[0])
        here = splits[ours] if splits[ours].root != empty.root else first
        is_same = all(split.entries == first.entries for split in splits)
        pooled[name] = PooledSplit(
            root=here.root,
            source=here.source,
            entries=tuple((label, file, None) for label, file in first.entries)
            if is_same
            else _union(splits),
            problem=next((split.problem for split in splits if split.problem), ""),
            shards=splits[ours].shards,
            counts=() if is_same else tuple(len(split.entries) for split in splits),
        )
    return pooled


def _union(splits: Sequence[FoundSplit]) -> tuple[tuple[str, str, int | None], ...]:
    holders: dict[tuple[str, str, int], list[int]] = {}
    for host, split in enumerate(splits):
        seen: Counter[Entry] = Counter()
        for entry in split.entries:
            # A manifest may list a picture twice on purpose.
            holders.setdefault((*entry, seen[entry]), []).append(host)
            seen[entry] += 1
    return tuple(
        (label, file, None if len(hosts) == len(splits) else hosts[0])
        for (label, file, _), hosts in holders.items()
    )

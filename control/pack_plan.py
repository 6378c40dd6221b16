"""Pack plan: which pictures of a folder go into which shard, before anything is written."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from contract.channel_files import is_hidden, is_junk_file, is_picture_name
from contract.errors import DataError, UsageError
from contract.job import PICTURE_CHANNELS, channel_name
from contract.shards import BLOCK_BYTES, MOST_SHARDS, is_shard_name, shard_name

# They hold labels, so they belong to the pictures; they are copied beside the shards.
MANIFEST_SUFFIXES = frozenset({".manifest", ".jsonl"})


class Item(NamedTuple):
    """One file of the folder. Not a dataclass: there may be millions of them."""

    name: str  # relative to the folder, with slashes
    num_bytes: int
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShard:
    """A shard that is to be made."""

    group: str  # folder below OUT: a split's name, or empty
    number: int
    count: int  # shards of the group
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """Relative to OUT."""
        return os.path.join(self.group, shard_name(self.number, self.count))

    def member_name(self, item: Item) -> str:
        """The item's name in the shard: relative to the shard's own folder."""
        return item.name[len(self.group) + 1 :] if self.group else item.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PackPlan:
    """All shards of one folder."""

    shards: tuple[PlannedShard, ...]
    manifests: tuple[Item, ...]
    left_out: Counter[str]  # suffix -> files that are no pictures

    @property
    def num_pictures(self) -> int:
        """Of all shards."""
        return sum(len(shard.items) for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Of all pictures, without what a tar adds."""
        return sum(item.num_bytes for shard in self.shards for item in shard.items)

    @property
    def groups(self) -> tuple[str, ...]:
        """Folders below OUT that hold shards; empty is OUT itself."""
        return tuple(dict.fromkeys(shard.group for shard in self.shards))

    def pack_of(self, group: str) -> str:
        """What the shards of one group have in common: names, sizes and their division."""
        digest = hashlib.sha256()
        for shard in self.shards:
            if shard.group == group:
                digest.update(f"{shard.name}\n".encode())
                _add(digest, shard.items, is_dated=False)
        return digest.hexdigest()[:32]

    def fingerprint(self) -> str:
        """Differs when any file of the folder was changed."""
        digest = hashlib.sha256("".join(map(self.pack_of, self.groups)).encode())
        for items in (*(shard.items for shard in self.shards), self.manifests):
            _add(digest, items, is_dated=True)
        return digest.hexdigest()


def plan_pack(folder: Path, shard_bytes: int) -> PackPlan:
    """List what a channel's folder holds, as training would see it, and divide it.

    A folder that is named for a split and holds class folders gets shards of its own. The shards
    of a group are about equally large and at most `shard_bytes`, but for a picture that is larger.

    Raises UsageError: no picture, or packed already. DataError: a link that leaves the folder.
    """
    left_out: Counter[str] = Counter()
    groups: dict[str, list[Item]] = {}
    manifests: list[Item] = []
    for item in sorted(visible_files(folder)):
        suffix = os.path.splitext(item.name)[1].lower()
        if is_shard_name(os.path.basename(item.name)):
            raise UsageError(f"{folder / item.name} is a shard: give the folder it was made of")
        if is_picture_name(item.name):
            groups.setdefault(_group_of(item.name), []).append(item)
        elif suffix in MANIFEST_SUFFIXES:
            manifests.append(item)
        else:
            left_out[suffix or "no suffix"] += 1
    if not groups:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in left_out.most_common(5))
        raise UsageError(f"{folder} holds no picture ({kinds or 'it is empty'})")
    return PackPlan(
        shards=tuple(
            shard
            for group in sorted(groups)
            for shard in _divide(group, groups[group], shard_bytes)
        ),
        manifests=tuple(manifests),
        left_out=left_out,
    )


def _divide(group: str, items: Sequence[Item], shard_bytes: int) -> list[PlannedShard]:
    total = sum(map(_tar_bytes, items))
    wanted = total / -(-total // shard_bytes)  # equal shares of as few shards as suffice
    parts: list[list[Item]] = [[]]
    done = filled = 0
    for item in items:
        size = _tar_bytes(item)
        # A picture belongs to the share that its middle is in.
        if parts[-1] and (done + size / 2 > wanted * len(parts) or filled + size > shard_bytes):
            parts.append([])
            filled = 0
        parts[-1].append(item)
        done, filled = done + size, filled + size
    if len(parts) > MOST_SHARDS:
        raise UsageError(f"{len(parts):,} shards are too many: give a larger --shard-bytes")
    return [
        PlannedShard(group=group, number=number, count=len(parts), items=tuple(part))
        for number, part in enumerate(parts)
    ]


def _tar_bytes(item: Item) -> int:
    """About what a picture takes in a tar; long names take a little more."""
    return BLOCK_BYTES + -(-item.num_bytes // BLOCK_BYTES) * BLOCK_BYTES


def is_split(name: str) -> bool:
    """True for the name of a folder that gets shards of its own."""
    return channel_name(name.lower()) in PICTURE_CHANNELS


def _group_of(name: str) -> str:
    """`valid` for `valid/beagle/1.jpg`; empty for `beagle/1.jpg`."""
    top, *below = name.split("/")
    return top if len(below) > 1 and is_split(top) else ""


def visible_files(root: Path) -> Iterator[Item]:
    """Every visible file, in no order. Raises DataError for links that lead out or in a circle."""
    real_root = root.resolve()
    waiting: list[tuple[str, tuple[Path, ...]]] = [("", (real_root,))]
    while waiting:
        inside, chain = waiting.pop()
        with os.scandir(root / inside) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                name = f"{inside}/{entry.name}" if inside else entry.name
                real = chain[-1] / entry.name
                if entry.is_symlink():
                    real = _follow(root / name, real_root)
                if entry.is_dir():
                    if real in chain:
                        raise DataError(f"the link {root / name} leads in a circle: remove it")
                    waiting.append((name, (*chain, real)))
                elif entry.is_file() and not is_junk_file(entry.name):
                    about = entry.stat()
                    yield Item(name, about.st_size, about.st_mtime_ns)


def _follow(link: Path, real_root: Path) -> Path:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a link to itself, before Python 3.13
        raise DataError(f"the link {link} leads nowhere: remove it") from None
    if not target.is_relative_to(real_root):
        raise DataError(f"the link {link} leaves the folder (to {target}): copy the files in")
    return target


def _add(digest: "hashlib._Hash", items: Sequence[Item], *, is_dated: bool) -> None:
    for item in items:
        date = item.changed_ns if is_dated else 0
        digest.update(f"{item.name}\0{item.num_bytes}\0{date}\n".encode("utf-8", "surrogateescape"))

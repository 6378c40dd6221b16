"""Shards: a channel's pictures in a few tar files that are read in place. The words of the format.

`shard-00002-of-00012.tar` is a plain tar. Behind its pictures are two hidden members: an index
(JSON: name, offset, bytes and SHA-256 of every picture) and, in the last 2,048 bytes of the file,
a footer that says where the index is and how long the whole is. A shard needs nothing beside it:
SageMaker may send every shard to another host.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from contract.errors import DataError

FORMAT = 1
INDEX_NAME = ".kennel-index.json"
FOOTER_NAME = ".kennel-shard.json"
BLOCK_BYTES = 512  # tar's unit: a header, and what data is padded to
END_BYTES = 2 * BLOCK_BYTES  # zeros; they end every tar
TAIL_BYTES = 2 * BLOCK_BYTES + END_BYTES  # the footer's header, the footer, the end
MOST_SHARDS = 99_999
_NAME = re.compile(r"shard-(\d{5})-of-(\d{5})\.tar")
_REMEDY = "copy it again, or make it again with `kennel data pack`"


class Member(NamedTuple):
    """One picture of a shard. Not a dataclass: there are millions of them."""

    name: str  # relative to the shard's folder, with slashes
    offset: int  # of its first byte in the shard
    num_bytes: int
    sha256: str  # hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What the end of a shard says about it."""

    format: int = FORMAT
    pack: str  # the same for all shards that were packed together
    number: int  # from 0
    count: int  # shards of the pack
    pictures: int
    num_bytes: int  # of the whole file
    index_offset: int
    index_bytes: int
    index_sha256: str

    def to_bytes(self) -> bytes:
        """One tar block."""
        text = json.dumps(asdict(self), separators=(",", ":")).encode()
        assert len(text) <= BLOCK_BYTES, len(text)
        return text.ljust(BLOCK_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A shard whose footer and index were read and fit the file."""

    path: Path
    footer: Footer
    members: tuple[Member, ...]


def shard_name(number: int, count: int) -> str:
    """`shard-00002-of-00012.tar`; numbers start at 0."""
    return f"shard-{number:05}-of-{count:05}.tar"


def is_shard_name(name: str) -> bool:
    """True for the names that `shard_name` makes. Others' tars are archives, to be unpacked."""
    return _NAME.fullmatch(name) is not None


def index_to_bytes(members: Sequence[Member]) -> bytes:
    """The inverse of what `read_shard` does. Names need not be valid UTF-8 (surrogates)."""
    return json.dumps({"pictures": members}, separators=(",", ":")).encode()


def read_shard(path: Path) -> Shard:
    """Read the end of a shard: two reads, however many pictures it holds.

    Raises DataError: it is cut, damaged, renamed or of another format. OSError.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        footer = _read_footer(path, handle)
        index = read_at(handle, footer.index_offset, footer.index_bytes)
    finally:
        os.close(handle)
    if hashlib.sha256(index).hexdigest() != footer.index_sha256:
        raise _damaged(path, "its index does not have the checksum that its footer states")
    members = _parse_index(path, index)
    _check_members(path, members, footer)
    return Shard(path=path, footer=footer, members=members)


def read_footer(path: Path) -> Footer:
    """The footer alone. Raises as `read_shard` does."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read_footer(path, handle)
    finally:
        os.close(handle)


def read_at(handle: int, offset: int, num_bytes: int) -> bytes:
    """Bytes of an open file, fewer at its end. Threads may share the handle."""
    parts = []
    while num_bytes > 0 and (part := os.pread(handle, num_bytes, offset)):
        parts.append(part)
        offset, num_bytes = offset + len(part), num_bytes - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check_pack(footers: Mapping[Path, Footer], *, is_part: bool) -> None:
    """Raises DataError: the shards of one folder are not one pack, or some are missing.

    Args:
        is_part: other hosts have the other shards.
    """
    packs = {footer.pack: path for path, footer in footers.items()}
    if len(packs) > 1:
        one, other = sorted(packs.values())[:2]
        raise DataError(f"{one} and {other.name} were not packed together: keep one pack a folder")
    numbers = {footer.number for footer in footers.values()}
    count = next(iter(footers.values())).count
    missing = sorted(set(range(count)) - numbers)
    if missing and not is_part:
        folder = next(iter(footers)).parent
        raise DataError(
            f"{folder}: {len(missing)} of {count} shards are missing, the first is "
            f"{shard_name(missing[0], count)}: copy all of them, or run `kennel data pack` again"
        )


def _read_footer(path: Path, handle: int) -> Footer:
    size = os.fstat(handle).st_size
    tail = read_at(handle, max(size - TAIL_BYTES, 0), TAIL_BYTES)
    block = tail[BLOCK_BYTES : 2 * BLOCK_BYTES]
    if not tail.startswith(FOOTER_NAME.encode() + b"\0") or tail[2 * BLOCK_BYTES :].strip(b"\0"):
        raise _damaged(path, "its end is not that of a shard")
    try:
        given = json.loads(block)
        version = given["format"]
        footer = Footer(**given) if version == FORMAT else None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _damaged(path, "its footer cannot be read") from None
    if footer is None:
        raise DataError(f"{path} has format {version!r}, this version reads {FORMAT}: pack again")
    _check_footer(path, footer, size)
    return footer


def _check_footer(path: Path, footer: Footer, size: int) -> None:
    values = asdict(footer)
    words = (values.pop("pack"), values.pop("index_sha256"))
    if not all(isinstance(word, str) for word in words) or not all(map(_is_count, values.values())):
        raise _damaged(path, "its footer cannot be read")
    if footer.num_bytes != size:
        raise _damaged(path, f"it has {size:,} bytes, its footer says {footer.num_bytes:,}")
    if footer.index_offset + footer.index_bytes > size - TAIL_BYTES:
        raise _damaged(path, "its index would lie outside of it")
    if path.name != (name := shard_name(footer.number, footer.count)):
        raise DataError(f"{path} was packed as {name}: give it that name again")


def _parse_index(path: Path, index: bytes) -> tuple[Member, ...]:
    try:
        return tuple(Member(*row) for row in json.loads(index)["pictures"])
    except (ValueError, TypeError, KeyError, RecursionError):  # of brackets in brackets
        raise _damaged(path, "its index cannot be read") from None


def _check_members(path: Path, members: Sequence[Member], footer: Footer) -> None:
    """A shard may come from a stranger: nothing in its index is believed before this."""
    if len(members) != footer.pictures:
        raise _damaged(path, f"its index has {len(members):,} of {footer.pictures:,} pictures")
    for member in members:
        if not (isinstance(member.name, str) and is_inside(member.name)):
            raise _damaged(path, f"the name {member.name!r} leads out of its folder")
        if not _is_encodable(member.name):
            raise _damaged(path, f"no file can have the name {member.name!r}")
        is_sound = _is_count(member.offset) and _is_count(member.num_bytes)
        if not is_sound or member.offset + member.num_bytes > footer.index_offset:
            raise _damaged(path, f"{member.name!r} would lie outside of it")
        if not isinstance(member.sha256, str):
            raise _damaged(path, f"{member.name!r} has no checksum")
    if len({member.name for member in members}) != len(members):
        raise _damaged(path, "its index names a picture twice")


def is_inside(name: str) -> bool:
    """True for a relative name with slashes that stays below the folder it is put into."""
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


def _is_encodable(name: str) -> bool:
    """False for halves of a character; those that stand for raw bytes are the name of a file."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{path} is cut or damaged: {why}; {_REMEDY}")

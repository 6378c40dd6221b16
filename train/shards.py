"""Shards of a channel: their pictures, seen as the folders and files that were packed."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.errors import ChannelError, DataError
from contract.shards import Member, Shard, check_pack, read_at, read_shard

# Of open shards, far below the 1,024 files that a process may usually have open. The shards
# beyond it are opened for each picture.
_MOST_OPEN = 256


class ShardFile:
    """A shard that pictures are read from, by any number of threads and forked processes."""

    _num_open = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handles: dict[str, int] = {}  # one at most; its setdefault needs no lock

    def __reduce__(self) -> tuple[type["ShardFile"], tuple[Path]]:
        return ShardFile, (self.path,)

    def __del__(self) -> None:
        for handle in self._handles.values():
            os.close(handle)
            ShardFile._num_open -= 1

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Fewer bytes when the file ends before. Raises OSError."""
        kept = self._handles.get("kept")
        if kept is not None:
            return read_at(kept, offset, num_bytes)
        handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return read_at(handle, offset, num_bytes)
        finally:
            if not self._keep(handle):
                os.close(handle)

    def _keep(self, handle: int) -> bool:
        """True for the first of the threads that came here at once."""
        if ShardFile._num_open >= _MOST_OPEN or self._handles.setdefault("kept", handle) != handle:
            return False
        ShardFile._num_open += 1
        return True


@dataclass(frozen=True, slots=True)
class Part:
    """Where in a shard one picture is."""

    file: ShardFile
    offset: int
    num_bytes: int
    sha256: bytes

    def read_bytes(self) -> bytes:
        """The picture as it was packed. Raises DataError: the shard is damaged. OSError."""
        data = self.file.read(self.offset, self.num_bytes)
        if hashlib.sha256(data).digest() != self.sha256:
            raise DataError(
                f"{self.file.path} is damaged at byte {self.offset:,}: a picture does not have "
                "the checksum that the index states; copy the shard again"
            )
        return data


class Packed:
    """The shards of one channel. Their names are full paths, as if they were unpacked there."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, bool]] = {}  # folder -> name -> is a folder
        self._shard_of: dict[str, Path] = {}  # picture -> shard
        self._opened: set[Path] = set()  # folders

    def add(self, channel: str, shards: Iterable[Path], *, is_part: bool) -> None:
        """Note what the shards of one folder hold; a folder is looked at once.

        Raises ChannelError: one cannot be opened. DataError: damaged, or not all are there.
        """
        opened = [_open(channel, path) for path in shards if path.parent not in self._opened]
        self._opened |= {shard.path.parent for shard in opened}
        if opened:
            check_pack({shard.path: shard.footer for shard in opened}, is_part=is_part)
        for shard in opened:
            self._add(shard)

    def entries(self, folder: Path) -> Mapping[str, bool]:
        """Name -> is a folder, of what is packed right in `folder`; empty where nothing is."""
        return self._folders.get(str(folder), {})

    def shards_of(self, pictures: Iterable[Path]) -> tuple[str, ...]:
        """The shards that hold any of `pictures`, sorted; files on the disk are in none."""
        if not self._shard_of:
            return ()
        found = {self._shard_of.get(str(path)) for path in pictures}
        return tuple(sorted(str(path) for path in found if path is not None))

    def _add(self, shard: Shard) -> None:
        top = str(shard.path.parent)
        for member in shard.members:
            *folders, name = member.name.split("/")
            inside = top
            for folder in folders:
                self._note(inside, folder, True, shard)
                inside = f"{inside}/{folder}"
            self._note(inside, name, False, shard)
            self._shard_of[f"{inside}/{name}"] = shard.path

    def _note(self, folder: str, name: str, is_folder: bool, shard: Shard) -> None:
        known = self._folders.setdefault(folder, {})
        if known.setdefault(name, is_folder) != is_folder or f"{folder}/{name}" in self._shard_of:
            raise DataError(f"{shard.path} holds {folder}/{name}, which is packed elsewhere too")


def parts_of(channel: str, shards: Iterable[str]) -> dict[str, Part]:
    """Full path of each picture in `shards` -> where it is. Raises DataError, ChannelError."""
    parts: dict[str, Part] = {}
    for path in map(Path, shards):
        opened, file = _open(channel, path), ShardFile(path)
        parts |= {f"{path.parent}/{member.name}": _part(file, member) for member in opened.members}
    return parts


def _part(file: ShardFile, member: Member) -> Part:
    try:
        digest = bytes.fromhex(member.sha256)
    except ValueError:
        digest = b""  # never that of a picture: reading it says that the shard is damaged
    return Part(file, member.offset, member.num_bytes, digest)


def _open(channel: str, path: Path) -> Shard:
    try:
        return read_shard(path)
    except OSError as error:
        raise ChannelError(
            f"channel {channel!r}: cannot read {path}: {error.strerror}: make it readable"
        ) from error

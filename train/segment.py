"""Segment: a file of named byte strings that is written once and checked whenever it is read."""

import contextlib
import os
import struct
import tempfile
import uuid
import zlib
from pathlib import Path
from typing import BinaryIO

NAME_BYTES = 32  # of an entry: a digest
SUFFIX, UNFINISHED = ".segment", ".tmp"
_MAGIC = b"kennel segment 1"
_ENTRY = struct.Struct(f"<{NAME_BYTES}sQQI")  # name, offset, bytes, crc32
_END = struct.Struct(f"<QI{len(_MAGIC)}s")  # entries, crc32 of their table, magic

Data = bytes | memoryview


class Segment:
    """The table of a finished segment. It is opened for every read: none is held open."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError: it is damaged. OSError: it is gone, or cannot be read."""
        self.path = path
        with path.open("rb") as file:
            num_bytes = file.seek(0, os.SEEK_END)
            end = _read_end(file, num_bytes - _END.size, _END.size)
            count, crc, magic = _END.unpack(end) if len(end) == _END.size else (0, 0, b"")
            size = count * _ENTRY.size
            table = _read_end(file, num_bytes - _END.size - size, size)
        if magic != _MAGIC or len(table) != size or zlib.crc32(table) != crc:
            raise _damaged(path)
        self._places = {
            name: (offset, length, each) for name, offset, length, each in _ENTRY.iter_unpack(table)
        }

    @property
    def names(self) -> list[bytes]:
        """Of all entries."""
        return list(self._places)

    def read(self, name: bytes) -> bytes:
        """The entry of this name. Raises as the constructor."""
        offset, size, crc = self._places[name]
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) != size or zlib.crc32(data) != crc:
            raise _damaged(self.path)
        return data


def _read_end(file: BinaryIO, offset: int, size: int) -> bytes:
    """Nothing where the file does not have that much."""
    if offset < 0:
        return b""
    file.seek(offset)
    return file.read(size)


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path}: cut short, or other bytes than were written")


class SegmentWriter:
    """A segment that is being written; nobody sees it before `close`.

    It is not forced onto the disk: what a lost machine leaves is found damaged, and removed.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._is_open, self._owner = False, os.getpid()
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=UNFINISHED, dir=folder)
        self._file = os.fdopen(handle, "wb")
        self._temporary, self._folder = Path(name), folder
        self._entries: dict[bytes, bytes] = {}
        self.num_bytes = 0
        self._is_open = True

    def __del__(self) -> None:
        if os.getpid() == self._owner:  # a forked process has a copy of this, not a file of its own
            self.drop()

    def __contains__(self, name: bytes) -> bool:
        return name in self._entries

    def add(self, name: bytes, *parts: Data) -> None:
        """One entry, of `parts` one after the other. Raises OSError."""
        offset, crc = self.num_bytes, 0
        for part in parts:
            self._file.write(part)
            crc = zlib.crc32(part, crc)
            self.num_bytes += len(part)
        self._entries[name] = _ENTRY.pack(name, offset, self.num_bytes - offset, crc)

    def close(self) -> Path:
        """Give the file its name. Raises OSError."""
        table = b"".join(self._entries.values())
        end = _END.pack(len(self._entries), zlib.crc32(table), _MAGIC)
        with self._file:
            self._file.write(table + end)
        path = self._folder / f"{uuid.uuid4().hex}{SUFFIX}"
        self._temporary.rename(path)
        self._is_open = False
        return path

    def drop(self) -> None:
        """Leave nothing behind, unless it was closed."""
        if not self._is_open:
            return
        self._is_open = False
        with contextlib.suppress(OSError):  # of a full disk; the file goes anyway
            self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

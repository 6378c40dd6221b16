"""Unpacking of zip and tar archives that strangers made: nothing lands outside the target."""

import errno
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import IO

from contract.channel_files import ARCHIVE_ENDINGS
from contract.errors import DataError, HostError

_CHUNK_BYTES = 1 << 20
_REMEDY = "if that is meant, unpack it and give the folder as the channel"
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # a first member; the end of an empty zip
# What the standard readers raise on damaged bytes, found by feeding them thousands: a number
# that is none is a ValueError, a gzip header cut short a TypeError.
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    LZMAError,
    EOFError,
    ValueError,
    TypeError,
    struct.error,
    NotImplementedError,  # a compression that Python does not know
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """How much an archive may become. Pictures hardly compress, so a high ratio is a bomb."""

    max_bytes: int = 200_000_000_000
    max_members: int = 5_000_000
    max_ratio: int = 100  # unpacked bytes for each archive byte ...
    ratio_from_bytes: int = 1_000_000_000  # ... looked at only above this size


def is_archive(path: Path) -> bool:
    """True when the name ends as an archive that `unpack` reads."""
    return path.name.lower().endswith(ARCHIVE_ENDINGS)


def archive_stem(path: Path) -> str:
    """The name without its archive ending: `valid.tar.gz` -> `valid`."""
    ending = max((end for end in ARCHIVE_ENDINGS if path.name.lower().endswith(end)), key=len)
    return path.name[: -len(ending)]


def unpack(archive: Path, target: Path, limits: ArchiveLimits | None = None) -> None:
    """Unpack into `target`, which must not exist: it appears whole or not at all.

    Modes, owners and times are not kept. Content decides between zip and tar, not the name.

    Raises:
        DataError: damaged, encrypted, over a limit, or a member that is absolute, climbs with
            `..`, or is a link or a device; the message names the member.
        HostError: the disk is full or `target` cannot be written.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    meter = _Meter(archive, limits or ArchiveLimits())
    try:
        partial.mkdir(parents=True)
        if _starts_as_zip(archive):
            _unpack_zip(archive, partial, meter)
        else:
            _unpack_tar(archive, partial, meter)
        partial.rename(target)
    except _DAMAGED as error:
        raise DataError(f"{archive} is damaged, or no zip or tar that we read: {error}") from error
    except OSError as error:
        raise _os_failure(archive, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Meter:
    """Counts what was really written; sizes in an archive's headers may lie."""

    def __init__(self, archive: Path, limits: ArchiveLimits) -> None:
        self.archive, self.limits = archive, limits
        self.packed_bytes = max(archive.stat().st_size, 1)
        self.bytes = self.members = 0

    def add_member(self) -> None:
        self.members += 1
        if self.members > self.limits.max_members:
            raise DataError(
                f"{self.archive} holds more than {self.limits.max_members:,} members: {_REMEDY}"
            )

    def add_bytes(self, count: int) -> None:
        self.bytes += count
        self.check(self.bytes)

    def check(self, total: int) -> None:
        """Refuse `total` unpacked bytes when that is over a limit."""
        if total > self.limits.max_bytes:
            raise DataError(
                f"{self.archive} unpacks to more than {self.limits.max_bytes:,} bytes: {_REMEDY}"
            )
        bomb = total > self.limits.max_ratio * self.packed_bytes
        if bomb and total > self.limits.ratio_from_bytes:
            raise DataError(
                f"{self.archive} ({self.packed_bytes:,} bytes) unpacks to {total:,} bytes or more, "
                f"over {self.limits.max_ratio} times its size: it looks like a zip bomb; {_REMEDY}"
            )


def _starts_as_zip(archive: Path) -> bool:
    """Not zipfile.is_zipfile: that looks at the end, and a tar may end with a zip inside it."""
    with archive.open("rb") as file:
        return file.read(4) in _ZIP_STARTS


def _unpack_zip(archive: Path, folder: Path, meter: _Meter) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        total = sum(member.file_size for member in members)
        meter.check(total)
        _check_free(archive, folder, total)
        for member in members:
            meter.add_member()
            _refuse_odd_zip_member(archive, member)
            path = _inside(archive, folder, member.filename)
            if member.is_dir() or member.filename.endswith("\\"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            with opened.open(member) as source:
                _copy(source, path, meter)


def _refuse_odd_zip_member(archive: Path, member: zipfile.ZipInfo) -> None:
    if member.flag_bits & 1:
        raise DataError(f"{archive}: {member.filename!r} is encrypted: pack it without a password")
    # The upper half holds the Unix mode; archives made on Windows leave it 0.
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(
            f"{archive}: {member.filename!r} is a link or a device: pack the file itself"
        )


def _unpack_tar(archive: Path, folder: Path, meter: _Meter) -> None:
    # Its unpacked size shows only at the end, but pictures do not get smaller by unpacking.
    _check_free(archive, folder, meter.packed_bytes)
    with tarfile.open(archive, mode="r|*") as opened:
        for member in _stream(opened):
            meter.add_member()
            path = _inside(archive, folder, member.name)
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            source = opened.extractfile(member) if member.isreg() else None
            if source is None:
                raise DataError(
                    f"{archive}: {member.name!r} is a link or a device: pack the file itself"
                )
            _copy(source, path, meter)


def _stream(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members one by one; tarfile would keep each in memory for the whole run."""
    while (member := opened.next()) is not None:
        yield member
        opened.members.clear()


def _inside(archive: Path, folder: Path, name: str) -> Path:
    """The path of a member below `folder`. Raises DataError for a name that would escape."""
    plain = name.replace("\\", "/")  # as some Windows tools write it
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if plain.startswith("/") or re.match(r"[A-Za-z]:", plain) or ".." in parts or "\0" in plain:
        raise DataError(
            f"{archive}: the member {name!r} would land outside: pack it again, from inside its "
            "folder"
        )
    return folder.joinpath(*parts)


def _copy(source: IO[bytes], path: Path, meter: _Meter) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            meter.add_bytes(len(chunk))
            file.write(chunk)


def _check_free(archive: Path, folder: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise HostError(
            f"{archive} needs {needed_bytes:,} bytes but {folder.parent} has {free:,} free: "
            "give the job a larger volume"
        )


def _os_failure(archive: Path, error: OSError) -> DataError | HostError:
    """Name clashes and endless names are the archive's fault, all else is the machine's."""
    # gzip and bz2 report damage as an OSError without a number; zip may seek to before the start.
    if error.errno in (None, errno.EINVAL):
        return DataError(f"{archive} is damaged: {error}")
    if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return DataError(f"{archive}: cannot unpack {error.filename}: {error.strerror}")
    return HostError(f"{archive}: cannot unpack: {error.strerror}; check the disk's free space")

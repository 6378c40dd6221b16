"""Cache: what was computed once, by any process, found again by what it was computed from.

docs/decisions/0011-cache.md. A job never fails by its cache: what cannot be read or written costs
the time of computing it, and one line in the log.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from contract.errors import HostError
from train.segment import SUFFIX, UNFINISHED, Data, Segment, SegmentWriter

log = logging.getLogger(__name__)

FOLDER, BYTES = "KENNEL_CACHE_DIR", "KENNEL_CACHE_BYTES"
DEFAULT_BYTES = 10_000_000_000
_DISK_SHARE = 0.1  # of what would be free without the cache, unless KENNEL_CACHE_BYTES says
_KEPT_FREE_BYTES = 1_000_000_000  # of the disk: the bundle and the checkpoints come first
_SEGMENT_BYTES = 64_000_000  # then the next segment begins, and ...
_SEGMENT_SECONDS = 60.0  # ... also then: a killed process loses no more
_ABANDONED_SECONDS = 86_400.0  # unfinished files of processes that were killed


def digest_of(*parts: Data) -> bytes:
    """32 bytes that only these bytes have."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        digest.update(part)
    return digest.digest()


@functools.cache
def digest_of_code(*modules: ModuleType) -> str:
    """Of their source files: other code may compute something else."""
    return digest_of(*(Path(str(module.__file__)).read_bytes() for module in modules)).hex()


class Cache:
    """A folder of shelves, bounded in bytes. Any number of processes may use it at once."""

    def __init__(self, folder: Path | None, limit_bytes: int | None = None) -> None:
        """`folder` None: nothing is kept or found. `limit_bytes` None: by the disk."""
        self._folder, self._limit_bytes = folder, limit_bytes

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Cache":
        """As the environment says: KENNEL_CACHE_DIR (or `off`), KENNEL_CACHE_BYTES.

        Raises HostError: KENNEL_CACHE_BYTES is no number.
        """
        text = environment.get(BYTES, "").strip()
        if text and not (text.isascii() and text.isdigit()):
            raise HostError(f"{BYTES}: expected a number of bytes, got {text!r}: set or unset it")
        named = environment.get(FOLDER, "").strip()
        if named.lower() == "off" or (text and int(text) == 0):
            return cls(None)
        return cls(Path(named) if named else _default(environment), int(text) if text else None)

    @property
    def is_on(self) -> bool:
        """False when it was turned off, or could not be written."""
        return self._folder is not None

    @property
    def limit_bytes(self) -> int:
        """Most bytes that all segments together may have."""
        if self._folder is None:
            return 0
        if self._limit_bytes is not None:
            return self._limit_bytes
        try:
            room = _free_bytes(self._folder) + sum(size for _, size, _ in self._segments())
        except OSError:
            return 0
        return min(DEFAULT_BYTES, int(room * _DISK_SHARE))

    def shelf(self, kind: str, key: Mapping[str, Any] | None) -> "Shelf":
        """Entries that share a key: everything, besides their names, that they depend on.

        `key` None: the shelf stays empty.
        """
        if self._folder is None or key is None:
            return Shelf(self, None)
        text = json.dumps(key, sort_keys=True, allow_nan=False)
        return Shelf(self, self._folder / kind / digest_of(text.encode()).hex()[:40])

    def make_room(self, num_bytes: int) -> bool:
        """Remove what was not used for longest until `num_bytes` more fit; False: they never do.

        Then what lies above the limit goes all the same: it may have been lowered.
        """
        limit = self.limit_bytes
        if self._folder is None:
            return False
        fits = num_bytes <= limit
        segments = sorted(self._segments())
        total = sum(size for _, size, _ in segments) + (num_bytes if fits else 0)
        for _, size, path in segments:
            if total <= limit:
                break
            path.unlink(missing_ok=True)
            total -= size
        if not fits:
            return False
        return self._limit_bytes is not None or _free_bytes(self._folder) > _KEPT_FREE_BYTES

    def has_room(self) -> bool:
        """False where what is written next would not stay, or would fill the disk meanwhile."""
        limit = self.limit_bytes
        if self._folder is None or limit == 0:
            return False
        if self._limit_bytes is not None:
            return True
        try:
            return _free_bytes(self._folder) > _KEPT_FREE_BYTES + _SEGMENT_BYTES
        except OSError:
            return False

    def give_up(self, error: OSError) -> None:
        """Do without from now on."""
        if self._folder is not None:
            log.info("note   no cache: %s (%s)", self._folder, error.strerror or error)
        self._folder = None

    def _segments(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path) of each; files that a killed process left are removed."""
        assert self._folder is not None
        found, now = [], time.time()
        for path in self._folder.glob("*/*/*"):
            try:
                state = path.stat()
                if path.suffix == SUFFIX:
                    found.append((state.st_mtime, state.st_size, path))
                elif path.suffix == UNFINISHED and now - state.st_mtime > _ABANDONED_SECONDS:
                    path.unlink(missing_ok=True)
            except OSError:
                continue  # another process has just removed it
        return found


class Shelf:
    """What lies in a cache under one key. Thread-safe; a forked process may only read."""

    def __init__(self, cache: Cache, folder: Path | None) -> None:
        self._cache, self._folder = cache, folder
        self._lock = threading.Lock()
        self._where: dict[bytes, Segment] | None = None  # known when first asked
        self._used: set[Path] = set()
        self._writer: SegmentWriter | None = None
        self._began = 0.0
        self._is_full = False

    @property
    def is_on(self) -> bool:
        """False when nothing is kept or found."""
        return self._folder is not None and self._cache.is_on

    def get(self, name: bytes) -> bytes | None:
        """The entry, if there is one."""
        with self._lock:
            if self._folder is None:
                return None
            if self._where is None:
                try:
                    self._where = _open_all(self._folder)
                except OSError as error:  # a folder that may not be searched
                    self._where = {}
                    self._cache.give_up(error)
            segment = self._where.get(name)
            if segment is None:
                return None
            if segment.path not in self._used:
                self._used.add(segment.path)
                _touch(segment.path)
        try:
            return segment.read(name)
        except (OSError, ValueError) as error:
            self._forget(segment, is_damaged=isinstance(error, ValueError))
            return None

    def put(self, name: bytes, *parts: Data) -> None:
        """Keep an entry; other processes see it once its segment is full, or at `flush`."""
        with self._lock:
            if self._folder is None or not self._cache.is_on or self._is_full:
                return
            try:
                if self._writer is None:
                    self._is_full = not self._cache.has_room()
                    if self._is_full:
                        return
                    self._writer, self._began = SegmentWriter(self._folder), time.monotonic()
                if name not in self._writer:
                    self._writer.add(name, *parts)
            except OSError as error:
                self._give_up(error)
                return
            is_old = time.monotonic() - self._began > _SEGMENT_SECONDS
            if is_old or self._writer.num_bytes > _SEGMENT_BYTES:
                self._flush()

    def flush(self) -> None:
        """Let others see what was put."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            if not self._cache.make_room(writer.num_bytes):
                writer.drop()
                return
            segment = Segment(writer.close())
        except (OSError, ValueError) as error:
            self._writer = writer
            self._give_up(error if isinstance(error, OSError) else OSError(str(error)))
            return
        if self._where is not None:
            self._where |= dict.fromkeys(segment.names, segment)

    def _give_up(self, error: OSError) -> None:
        if self._writer is not None:
            self._writer.drop()
            self._writer = None
        self._cache.give_up(error)

    def _forget(self, segment: Segment, *, is_damaged: bool) -> None:
        with self._lock:
            self._where = {
                name: place for name, place in (self._where or {}).items() if place is not segment
            }
        if is_damaged:
            _remove(segment.path)


def _open_all(folder: Path) -> dict[bytes, Segment]:
    where: dict[bytes, Segment] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=_age):  # the newest entry counts
        try:
            segment = Segment(path)
        except ValueError:
            _remove(path)
        except OSError:
            continue  # removed meanwhile, or not ours to read
        else:
            where |= dict.fromkeys(segment.names, segment)
    return where


def _age(path: Path) -> int:
    """Older ones first."""
    try:
        return path.stat().st_ctime_ns
    except OSError:  # removed meanwhile
        return 0


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # not ours
        path.unlink(missing_ok=True)


def _touch(path: Path) -> None:
    """Note that it was used; no harm where that is not allowed."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _free_bytes(folder: Path) -> int:
    """Of the disk that `folder`, which need not exist, would be on. Raises OSError."""
    exists = next(parent for parent in (folder.absolute(), *folder.absolute().parents)
                  if parent.exists())  # fmt: skip
    return shutil.disk_usage(exists).free


def _default(environment: Mapping[str, str]) -> Path | None:
    """$XDG_CACHE_HOME/kennel or ~/.cache/kennel; None where there is no home."""
    above = environment.get("XDG_CACHE_HOME", "")
    if above:
        return Path(above) / "kennel"
    home = environment.get("HOME", "")
    return Path(home) / ".cache" / "kennel" if home else None

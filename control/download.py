"""Download: many objects of S3 at once, large ones in ranges, each appearing whole or not at all.

What is unfinished lies in a folder of its own. Of a large object the ranges that are on the disk
are marked there, so that the same call continues after a kill.
"""

import contextlib
import hashlib
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from contract.errors import HostError
from contract.files import cannot_write
from control.aws_client import AwsError
from control.s3 import S3, S3Object, S3Uri

THREADS = 32  # requests under way: they wait for S3, not for the processor
RANGE_BYTES = 16 << 20
TRIES = 3  # of a piece that breaks in the middle; what fails at once is tried again by boto3
CHUNK_BYTES = 1 << 20
TICK_SECONDS = 0.2
CHANGED = frozenset({"PreconditionFailed", "412", "NoSuchKey", "404"})
MARK = b"x"
MD5 = re.compile(r"[0-9a-f]{32}")
BLOCK_BYTES = 512  # the unit of st_blocks

OnFile = Callable[[str], None]
OnBytes = Callable[[int], None]  # of all files so far


@dataclass(slots=True, kw_only=True, eq=False)
class _File:
    """One object on its way."""

    name: str  # relative to the folder
    item: S3Object
    partial: Path
    left: set[int] = field(default_factory=set)  # ranges that are not on the disk
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def num_ranges(self) -> int:
        """At least one."""
        return max(1, -(-self.item.num_bytes // RANGE_BYTES))

    @property
    def marks(self) -> Path:
        """A file with a byte for each range."""
        return self.partial.with_suffix(".marks")

    def ranges_there(self) -> set[int]:
        """Those that an earlier run marked. The one that ends the object is always got again."""
        if self.num_ranges == 1 or not (self.partial.exists() and self.marks.exists()):
            return set()
        marks, size = self.marks.read_bytes(), self.partial.stat().st_size
        whole = min(self.num_ranges - 1, size // RANGE_BYTES)
        return {number for number in range(whole) if marks[number : number + 1] == MARK}

    def bytes_there(self) -> int:
        """What the disk need not find room for again: also what is written and not yet marked."""
        marked = RANGE_BYTES * len(self.ranges_there())
        written = self.partial.stat().st_blocks * BLOCK_BYTES
        return min(self.item.num_bytes, max(marked, written))

    def forget(self) -> None:
        """Begin anew next time. Marks without their bytes would be believed: they go first."""
        self.marks.unlink(missing_ok=True)
        self.partial.unlink(missing_ok=True)


def partial_name(item: S3Object) -> str:
    """What an object's file is called while it is not whole; another after a change in S3."""
    text = f"{item.key}\0{item.etag}\0{item.num_bytes}\0{RANGE_BYTES}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _write(handle: int, data: bytes, offset: int) -> None:
    """All of it: the system may write a part and say so, as at a limit. Raises OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


class Download:
    """Objects below one address, on their way into `folder`. For one run."""

    def __init__(self, s3: S3, bucket: str, folder: Path, partial: Path) -> None:
        self._s3, self._bucket = s3, bucket
        self._folder, self._partial = folder, partial
        self._stop = threading.Event()
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._num_bytes = 0

    def keep(self, items: Iterable[S3Object]) -> int:
        """Delete what is of none of these objects, such as of one that has changed since.

        Returns how many of their bytes are on the disk already. Raises OSError.
        """
        self._partial.mkdir(parents=True, exist_ok=True)
        found = set(os.listdir(self._partial))
        there = 0
        for item in items:
            file = self._file("", item)
            if file.partial.name in found:
                found -= {file.partial.name, file.marks.name}
                there += file.bytes_there()
        for name in found:
            (self._partial / name).unlink()
        return there

    def run(self, files: Mapping[str, S3Object], on_file: OnFile, on_bytes: OnBytes) -> None:
        """Get all of `files`, by relative name. The callbacks run in this thread.

        Raises AwsError, or HostError when the disk is full; what is complete stays.
        """
        self._partial.mkdir(parents=True, exist_ok=True)
        pieces = self._pieces(files)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="download") as pool:
            workers = [pool.submit(self._work, pieces) for _ in range(THREADS)]
            try:
                self._watch(workers, on_file, on_bytes)
            finally:
                self._stop.set()  # also after Ctrl-C: the pool waits for what is under way

    def _watch(self, workers: list[Future[None]], on_file: OnFile, on_bytes: OnBytes) -> None:
        are_done = False
        while not are_done:
            are_done = all(worker.done() for worker in workers)
            for worker in workers:
                if worker.done():
                    worker.result()
            on_bytes(self._num_bytes)
            with contextlib.suppress(queue.Empty):
                on_file(self._done.get(timeout=0 if are_done else TICK_SECONDS))
                while True:
                    on_file(self._done.get_nowait())

    def _pieces(self, files: Mapping[str, S3Object]) -> Iterator[tuple[_File, int]]:
        """(file, number of a range) of all that is missing. Under the lock only."""
        for name, item in files.items():
            file = self._begin(name, item)
            for number in sorted(file.left):
                yield file, number

    def _file(self, name: str, item: S3Object) -> _File:
        return _File(name=name, item=item, partial=self._partial / partial_name(item))

    def _begin(self, name: str, item: S3Object) -> _File:
        file = self._file(name, item)
        there = file.ranges_there()
        if not there:
            file.forget()  # marks of bytes that are gone, or more bytes than the object has
        file.left.update(set(range(file.num_ranges)) - there)
        self._num_bytes += RANGE_BYTES * len(there)
        return file

    def _work(self, pieces: Iterator[tuple[_File, int]]) -> None:
        """What each thread does until nothing is left."""
        while not self._stop.is_set():
            place = self._partial
            try:
                with self._lock:
                    piece = next(pieces, None)
                if piece is None:
                    return
                place = self._folder / piece[0].name
                self._get(*piece)
            except OSError as error:
                raise cannot_write(place, error) from error

    def _get(self, file: _File, number: int) -> None:
        """One range, and the file's place when it was the last."""
        for attempt in range(1, TRIES + 1):
            try:
                is_md5 = self._write_range(file, number)
                if self._stop.is_set():
                    return
                if file.num_ranges == 1 and is_md5:
                    self._check(file)
                break
            except AwsError as error:
                if error.code in CHANGED:
                    what = f"{self._uri(file)} was changed after it was listed"
                    raise HostError(f"{what}: the same command begins anew") from None
                if error.code or attempt == TRIES:
                    raise
            if self._stop.wait(attempt):
                return
        if file.num_ranges > 1:
            self._mark(file, number)
            with file.lock:
                file.left.discard(number)
                if file.left:
                    return
            if is_md5:
                self._check(file)
        self._check_size(file)
        target = self._folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file.partial, target)
        file.marks.unlink(missing_ok=True)
        self._done.put(file.name)

    def _write_range(self, file: _File, number: int) -> bool:
        """True when S3 says that the whole object's ETag is its MD5.

        Raises AwsError: not the bytes that were listed. OSError. Neither after a stop.
        """
        start = number * RANGE_BYTES
        end = min(start + RANGE_BYTES, file.item.num_bytes)
        part = (start, end) if file.num_ranges > 1 else None
        handle = os.open(file.partial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with self._s3.opened(self._uri(file), file.item.etag, part) as answer:
                while not self._stop.is_set() and (data := answer.read(CHUNK_BYTES)):
                    start += len(data)
                    if start > end:
                        break
                    _write(handle, data, start - len(data))
                    self._count(len(data))
            if start != end and not self._stop.is_set():
                amount = "fewer" if start < end else "more"
                raise AwsError(f"{self._uri(file)} came with {amount} bytes than S3 lists")
            if file.num_ranges > 1:
                os.fdatasync(handle)  # before it is marked as there
        finally:
            os.close(handle)
        return answer.is_md5

    def _mark(self, file: _File, number: int) -> None:
        handle = os.open(file.marks, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _write(handle, MARK, number)
        finally:
            os.close(handle)

    def _check(self, file: _File) -> None:
        """Raises AwsError: these are not the bytes that S3 has."""
        if not MD5.fullmatch(file.item.etag):
            return
        with file.partial.open("rb") as opened:
            digest = hashlib.file_digest(opened, "md5").hexdigest()
        if digest != file.item.etag:
            file.forget()
            raise AwsError(f"{self._uri(file)} came with the MD5 {digest}, not {file.item.etag}")

    def _check_size(self, file: _File) -> None:
        """The last look, whatever the server, the disk and earlier runs did."""
        size = file.partial.stat().st_size
        if size != file.item.num_bytes:
            file.forget()
            raise HostError(
                f"{self._uri(file)} has {size:,} bytes here and {file.item.num_bytes:,} in S3: "
                "the same command gets it anew"
            )

    def _count(self, num_bytes: int) -> None:
        with self._lock:
            self._num_bytes += num_bytes

    def _uri(self, file: _File) -> S3Uri:
        return S3Uri(self._bucket, file.item.key)

"""Upload: many files at once, large ones in parts that a killed push need not send again.

A small file goes as bytes in one request, without the `Expect: 100-continue` that boto3 sends
before a file: one wait for S3 instead of two.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from contract.errors import DataError
from control.aws.account import Account
from control.data.compare import (
    THREADS,
    changed_since,
    digests_of,
    is_encrypted,
    md5_base64,
    md5_hex,
)
from control.data.push_calls import (
    PART_BYTES,
    SHA256,
    abort_call,
    begin_call,
    complete_call,
    head_call,
    part_bytes,
    part_call,
    parts_call,
    put_call,
    uploads_call,
)
from control.pack_plan import Item
from control.s3 import S3Uri

TICK_SECONDS = 0.2
OnStep = Callable[[int, int], None]  # bytes and files so far


@dataclass(slots=True, kw_only=True, eq=False)
class _Large:
    """A file that goes in parts."""

    item: Item
    path: Path
    uri: S3Uri
    upload: str
    sha256: str
    etags: list[str]  # of each part; empty: not there yet
    is_resumed: bool
    lock: threading.Lock = field(default_factory=threading.Lock)


class Upload:
    """Files on their way to one address. For one run."""

    def __init__(self, account: Account, folder: Path, uri: S3Uri, kms_key: str = "") -> None:
        self._account, self._folder = account, folder
        self._uri, self._kms_key = uri, kms_key
        self._ready = threading.Condition()
        self._parts: deque[tuple[_Large, int]] = deque()
        self._files: Iterator[Item] = iter(())
        self._beginning = 0  # large files whose parts are not known yet
        self._is_stopped = False
        self._num_bytes = self._num_files = 0

    def run(self, items: Sequence[Item], on_step: OnStep) -> None:
        """Send them all; `on_step` runs in this thread. What is sent when it raises stays there.

        Raises AwsError. DataError: a file was changed or lost since it was listed.
        """
        # Large ones first: their last parts shall not come alone in the end.
        self._files = iter(sorted(items, key=lambda item: item.num_bytes <= PART_BYTES))
        count = min(THREADS, max(1, sum(-(-item.num_bytes // PART_BYTES) or 1 for item in items)))
        with ThreadPoolExecutor(count, thread_name_prefix="upload") as pool:
            workers = [pool.submit(self._work) for _ in range(count)]
            try:
                self._watch(workers, on_step)
            finally:  # also after Ctrl-C: the pool waits for the requests that are under way
                with self._ready:
                    self._is_stopped = True
                    self._ready.notify_all()

    @property
    def num_files(self) -> int:
        """That are whole in S3 now."""
        return self._num_files

    def _watch(self, workers: Sequence[Future[None]], on_step: OnStep) -> None:
        are_done = False
        while not are_done:
            are_done = all(worker.done() for worker in workers)
            for worker in workers:
                if worker.done():
                    worker.result()
            on_step(self._num_bytes, self._num_files)
            if not are_done:
                time.sleep(TICK_SECONDS if self._num_files else TICK_SECONDS / 10)

    def _work(self) -> None:
        """What each thread does until nothing is left."""
        while (work := self._next()) is not None:
            if not isinstance(work, Item):
                self._send_part(*work)
            elif work.num_bytes <= PART_BYTES:
                self._send_whole(work)
            else:
                self._begin(work)

    def _next(self) -> Item | tuple[_Large, int] | None:
        """Parts before files; the parts of a file that another thread begins are waited for."""
        with self._ready:
            while not self._is_stopped:
                if self._parts:
                    return self._parts.popleft()
                item = next(self._files, None)
                if item is not None:
                    self._beginning += item.num_bytes > PART_BYTES
                    return item
                if not self._beginning:
                    return None
                self._ready.wait(TICK_SECONDS)
            return None

    def _send_whole(self, item: Item) -> None:
        data = _read(self._folder / item.name, 0, item.num_bytes + 1)
        if len(data) != item.num_bytes:
            raise changed_since(self._folder / item.name, item, len(data))
        self.put(item.name, data)
        self._count(len(data), 1)

    def put(self, name: str, data: bytes) -> None:
        """A whole object. Raises AwsError."""
        import hashlib

        digests = (md5_base64(data), hashlib.sha256(data).hexdigest())
        call = put_call(self._uri.join(name), data, digests, self._kms_key)
        self._account.send(call, f"{self._folder / name} cannot be uploaded")

    def _begin(self, item: Item, *, is_anew: bool = False) -> None:
        """Find what an earlier push left of it, or begin it; then its parts are anybody's."""
        try:
            path, uri = self._folder / item.name, self._uri.join(item.name)
            _, sha256 = digests_of(path, item)
            size = part_bytes(item.num_bytes)
            upload, etags = self._resume(item, uri) if not is_anew else ("", {})
            if not upload:
                doing = f"{path} cannot be uploaded"
                answer = self._account.send(begin_call(uri, sha256, self._kms_key), doing)
                upload = str(answer["UploadId"])
            count = -(-item.num_bytes // size)
            large = _Large(
                item=item,
                path=path,
                uri=uri,
                upload=upload,
                sha256=sha256,
                etags=[etags.get(number, "") for number in range(1, count + 1)],
                is_resumed=bool(etags),
            )
            missing = [number for number, etag in enumerate(large.etags, 1) if not etag]
            there = sum(self._length(large, number) for number in etags)
            self._count(there, 0)
            with self._ready:
                self._parts.extend((large, number) for number in missing)
        finally:
            with self._ready:
                self._beginning -= 1
                self._ready.notify_all()
        if not missing:
            self._complete(large)

    def _resume(self, item: Item, uri: S3Uri) -> tuple[str, dict[int, str]]:
        """(upload, ETags of its parts) whose bytes are these; other uploads of it are ended.

        With a key of KMS none is: its parts' ETags do not tell what is in them.
        """
        doing = f"{uri}: uploads of an earlier push cannot be looked up"
        found, kept = "", {}
        for one in self._account.pages(uploads_call(uri), "Uploads", doing):
            if one["Key"] != uri.key:
                continue
            upload = str(one["UploadId"])
            etags = {} if found or self._kms_key else self._parts_there(item, uri, upload)
            if etags:
                found, kept = upload, etags
            else:
                self._account.find(abort_call(uri, upload), doing)
        return found, kept

    def _parts_there(self, item: Item, uri: S3Uri, upload: str) -> dict[int, str]:
        size = part_bytes(item.num_bytes)
        path, kept = self._folder / item.name, {}
        for part in self._account.pages(parts_call(uri, upload), "Parts", f"{uri}: {upload}"):
            number, etag = int(part["PartNumber"]), str(part["ETag"]).strip('"')
            if md5_hex(_read(path, (number - 1) * size, size)) == etag:
                kept[number] = etag
        return kept

    def _send_part(self, large: _Large, number: int) -> None:
        size = part_bytes(large.item.num_bytes)
        data = _read(large.path, (number - 1) * size, size)
        if len(data) != self._length(large, number):
            raise changed_since(large.path, large.item, large.path.stat().st_size)
        call = part_call(large.uri, large.upload, number, data, md5_base64(data))
        answer = self._account.send(call, f"{large.path} cannot be uploaded")
        self._count(len(data), 0)
        with large.lock:
            large.etags[number - 1] = str(answer["ETag"]).strip('"')
            if not all(large.etags):
                return
        self._complete(large)

    def _complete(self, large: _Large) -> None:
        doing = f"{large.path} cannot be uploaded"
        self._account.send(complete_call(large.uri, large.upload, large.etags), doing)
        if large.is_resumed:
            # What it was begun with is only seen now: of a file that was another then, not ours.
            about = self._account.send(head_call(large.uri), doing)
            is_ours = about.get("Metadata", {}).get(SHA256) == large.sha256
            if not (is_ours and is_encrypted(about, self._kms_key)):
                with self._ready:
                    self._beginning += 1
                self._begin(large.item, is_anew=True)
                return
        self._count(0, 1)

    def _length(self, large: _Large, number: int) -> int:
        size = part_bytes(large.item.num_bytes)
        return min(size, large.item.num_bytes - (number - 1) * size)

    def _count(self, num_bytes: int, num_files: int) -> None:
        with self._ready:
            self._num_bytes += num_bytes
            self._num_files += num_files


def _read(path: Path, offset: int, num_bytes: int) -> bytes:
    """Fewer at the end. Raises DataError."""
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            data = bytearray()
            while len(data) < num_bytes and (more := file.read(num_bytes - len(data))):
                data += more
            return bytes(data)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None

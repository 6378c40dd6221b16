"""Pack: writes the shards of a plan. What is finished stays; nothing is ever there half."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from contract.errors import DataError, HostError, UsageError
from contract.files import (
    cannot_write,
    read_json,
    remove_leftovers,
    replacing,
    write_bytes,
    write_text,
)
from contract.shards import (
    BLOCK_BYTES,
    END_BYTES,
    FOOTER_NAME,
    INDEX_NAME,
    TAIL_BYTES,
    Footer,
    Member,
    index_to_bytes,
    is_inside,
    is_shard_name,
    read_footer,
)
from control.pack_plan import Item, PackPlan, PlannedShard, is_split
from control.progress import Progress

STATE_NAME = ".pack.json"  # in OUT: what is being packed there
READERS = 8  # small files wait for the disk, not for the processor
AHEAD_BYTES = 64 << 20  # that may be read before they are written
AHEAD_FILES = 256
_WRITE_BYTES = 1 << 20


def pack(folder: Path, out: Path, plan: PackPlan, *, restart: bool = False) -> None:
    """Make what is missing of the plan's shards below `out`. The same call continues.

    Raises:
        UsageError: `out` holds something else, or another process is packing into it.
        DataError: a picture was changed or lost since it was listed.
        HostError: the disk is too small or not writable.
    """
    with _locked(out):
        _begin(out, plan, restart)
        packs = {group: plan.pack_of(group) for group in plan.groups}
        left = [shard for shard in plan.shards if not _is_done(out, packs[shard.group], shard)]
        _check_free(out, left)
        done = plan.num_pictures - sum(len(shard.items) for shard in left)
        progress = Progress(sys.stderr, plan.num_pictures, done)
        with ThreadPoolExecutor(READERS, thread_name_prefix="pack") as readers:
            for shard in left:
                with (
                    replacing(out / shard.name) as temporary,
                    closing(ShardWriter(temporary, shard, packs[shard.group])) as writer,
                ):
                    for item, data, digest in _read_ahead(folder, shard, readers):
                        writer.add(item, data, digest)
                        done += 1
                        progress.show(done, shard.name)
                    writer.finish()
        progress.clear()
        for item in plan.manifests:
            write_bytes(out / item.name, _read(folder / item.name, item)[0])


class ShardWriter:
    """One shard under way: a tar, then its index and footer."""

    def __init__(self, path: Path, shard: PlannedShard, pack_id: str) -> None:
        self._shard, self._pack_id = shard, pack_id
        self._members: list[Member] = []
        self._file: BinaryIO = path.open("wb", buffering=_WRITE_BYTES)
        self._offset = 0

    def add(self, item: Item, data: bytes, sha256: str) -> None:
        """The plan's next picture."""
        name = self._shard.member_name(item)
        offset = self._add(name, data)
        self._members.append(Member(name, offset, len(data), sha256))

    def finish(self) -> None:
        """Write the end and close."""
        index = index_to_bytes(self._members)
        offset = self._add(INDEX_NAME, index)
        footer = Footer(
            pack=self._pack_id,
            number=self._shard.number,
            count=self._shard.count,
            pictures=len(self._members),
            num_bytes=self._offset + TAIL_BYTES,
            index_offset=offset,
            index_bytes=len(index),
            index_sha256=hashlib.sha256(index).hexdigest(),
        )
        self._add(FOOTER_NAME, footer.to_bytes())
        self._write(bytes(END_BYTES))
        self._file.close()
        assert self._offset == footer.num_bytes

    def close(self) -> None:
        """Give up: whoever made the path removes it."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _add(self, name: str, data: bytes) -> int:
        """One member; returns where its data begins. Owner, mode and time are always the same."""
        header = tarfile.TarInfo(name)
        header.size = len(data)
        self._write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        offset = self._offset
        self._write(data)
        self._write(bytes(-len(data) % BLOCK_BYTES))
        return offset

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._offset += len(data)


def _read_ahead(
    folder: Path, shard: PlannedShard, readers: ThreadPoolExecutor
) -> Iterator[tuple[Item, bytes, str]]:
    """(item, bytes, SHA-256) in order; a bounded number of bytes is read ahead."""
    waiting: deque[tuple[Item, Future[tuple[bytes, str]]]] = deque()
    ahead = 0
    queue = deque(shard.items)
    try:
        while queue or waiting:
            while queue and len(waiting) < AHEAD_FILES:
                if waiting and ahead + queue[0].num_bytes > AHEAD_BYTES:
                    break
                item = queue.popleft()
                ahead += item.num_bytes
                waiting.append((item, readers.submit(_read, folder / item.name, item)))
            item, future = waiting.popleft()
            data, digest = future.result()
            ahead -= item.num_bytes
            yield item, data, digest
    finally:
        for _, future in waiting:
            future.cancel()


def _read(path: Path, item: Item) -> tuple[bytes, str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; nothing half was left") from None
    if len(data) != item.num_bytes:
        raise DataError(
            f"{path} had {item.num_bytes:,} bytes when it was listed and has {len(data):,} now: "
            "pack when nobody writes there"
        )
    return data, hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(out, error) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another kennel is packing into {out}: wait for it") from None
        except OSError:  # not every network's file system has locks
            pass
        yield
    finally:
        os.close(handle)


def _begin(out: Path, plan: PackPlan, restart: bool) -> None:
    """Refuse a folder of somebody else's; forget what a killed process left."""
    manifests = [item.name for item in plan.manifests]
    for name in (*(os.path.join(group, STATE_NAME) for group in plan.groups), *manifests):
        if other := _other_pack(out, name):
            raise UsageError(f"{other} holds a pack of its own: give another folder than {out}")
    state = out / STATE_NAME
    wanted = {"plan": plan.fingerprint(), "pictures": plan.num_pictures, "manifests": manifests}
    found = read_json(state, HostError) if state.exists() else None
    if found != wanted:
        old = _old_shards(out)
        others = [path for path in out.iterdir() if not path.name.startswith(".")]
        if old and not restart:
            raise UsageError(
                f"{out} holds other shards (of other pictures, of these before they were changed, "
                "or of another size): give another folder, or --restart to replace them"
            )
        if others and not old and found is None:
            raise UsageError(f"{out} is not empty: give the shards a folder of their own")
        _remove(out, [*old, *_old_manifests(out, found)])
        # In ASCII: names need not be valid UTF-8.
        write_text(state, json.dumps(wanted, indent=2) + "\n")
    for group in plan.groups:
        if (out / group).is_dir():
            remove_leftovers(out / group)


def _other_pack(out: Path, name: str) -> Path | None:
    """The folder between `out` and a file below it that somebody else packed into."""
    folders = (out / parent for parent in PurePosixPath(name).parents if parent.name)
    return next((folder for folder in folders if (folder / STATE_NAME).exists()), None)


def _old_shards(out: Path) -> list[Path]:
    """Those of an earlier plan for `out`, whichever splits it had."""
    splits = (path for path in out.iterdir() if is_split(path.name) and not path.is_symlink())
    found = (path for folder in (out, *splits) for path in folder.glob("shard-*.tar"))
    ours = (path for path in found if not _other_pack(out, str(path.relative_to(out))))
    return [path for path in ours if is_shard_name(path.name)]


def _old_manifests(out: Path, state: Any) -> list[Path]:
    """Those that an earlier plan copied: training would prefer them to what is packed now."""
    names = state.get("manifests") if isinstance(state, dict) else None
    names = names if isinstance(names, list) else []
    inside = (name for name in names if isinstance(name, str) and is_inside(name))
    return [out / name for name in inside if not _other_pack(out, name)]


def _remove(out: Path, paths: Iterable[Path]) -> None:
    """Files, and the folders right in which they were the last."""
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from None
        if path.parent != out:
            with contextlib.suppress(OSError):
                path.parent.rmdir()


def _is_done(out: Path, pack_id: str, shard: PlannedShard) -> bool:
    """True when an earlier run made this very shard."""
    try:
        footer = read_footer(out / shard.name)
    except (OSError, DataError):
        return False
    return footer.pack == pack_id


def _check_free(out: Path, left: list[PlannedShard]) -> None:
    needed = sum(item.num_bytes + 2 * BLOCK_BYTES for shard in left for item in shard.items)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise HostError(f"{out} needs {needed:,} bytes and has {free:,} free: give a larger disk")

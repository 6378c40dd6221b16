"""Staging: channels in S3 as folders of this machine, downloaded once and kept in step.

Each address has a folder below runs/staged: `data` is the channel, `manifest.jsonl` says which
object every file is, `partial` holds what is not whole. A job that reads the channel keeps a lock
on it, so that nobody changes a file under its hands.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from contract.errors import ChannelError, HostError
from contract.files import cannot_write, write_text
from control.aws_client import AwsError
from control.download import THREADS, Download
from control.progress import Progress
from control.s3 import S3, S3Object, S3Uri, Source
from control.staging_list import Files, check_clashes, list_files
from control.terminal import duration, say

STAGED = "staged"  # below runs/
READER_SECONDS = 10.0  # others only look, for a moment, or else a job of theirs reads
WRITER_SECONDS = 6 * 3600.0  # for another kennel that downloads the same
POLL_SECONDS = 0.5
MB = 1_000_000


def staged_folder(uri: S3Uri, runs: Path) -> Path:
    """Where an address is staged. Pure: nothing is looked at."""
    words = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{uri.bucket}/{uri.key}").strip("-.")[-60:]
    number = hashlib.sha256(str(uri).encode()).hexdigest()[:8]
    return runs / STAGED / f"{words.strip('-.')}-{number}" / "data"


def folders_of(channels: Mapping[str, Source], runs: Path) -> dict[str, Path]:
    """Every channel as a path here; those in S3 are there once they are `staged`."""
    return {
        name: staged_folder(source, runs) if isinstance(source, S3Uri) else source
        for name, source in channels.items()
    }


@contextlib.contextmanager
def staged(channels: Mapping[str, Source], runs: Path) -> Iterator[None]:
    """Download what is in S3 and not here, and keep it as it is while the block runs.

    Raises ChannelError: nothing there, or keys that cannot be files. UsageError or AwsError: S3
    cannot be asked, or says no. HostError: no space, or changed while another job reads it.
    """
    names = {source: name for name, source in channels.items() if isinstance(source, S3Uri)}
    with contextlib.ExitStack() as locks:
        for uri, name in names.items():
            locks.enter_context(_staged(name, uri, staged_folder(uri, runs).parent))
        yield


@contextlib.contextmanager
def _staged(name: str, uri: S3Uri, place: Path) -> Iterator[None]:
    """One address, under a lock that other readers may share."""
    with _plain_errors(name):
        s3 = S3(connections=THREADS)
        files = list_files(s3, uri)
        handle = _open_lock(place)
    try:
        with _plain_errors(name), _disk_errors(place):
            _get(s3, uri, place, files, handle)
        yield
    finally:
        os.close(handle)


def _get(s3: S3, uri: S3Uri, place: Path, files: Files, handle: int) -> None:
    """Return with a lock for readers, when the folder holds exactly these objects."""
    started = time.monotonic()
    while not _lock(handle, fcntl.LOCK_SH) or any(_changes(place, files)):
        waited = time.monotonic() - started
        if _lock(handle, fcntl.LOCK_EX):
            _bring_in_step(s3, uri, place, files)
        elif _lock(handle, fcntl.LOCK_SH) and waited > READER_SECONDS:
            raise HostError(
                f"{uri} has changed, and another job is reading what it held before "
                f"({place / 'data'}): wait for that job"
            )
        elif waited > WRITER_SECONDS:
            raise HostError(f"another kennel is still downloading {uri} into {place}")
        else:
            fcntl.flock(handle, fcntl.LOCK_UN)  # or two that wait would wait for each other
            time.sleep(POLL_SECONDS)


def _bring_in_step(s3: S3, uri: S3Uri, place: Path, files: Files) -> None:
    """Remove what S3 has no longer, download what is new. The caller has the lock for writers."""
    started = time.monotonic()
    data = place / "data"
    data.mkdir(exist_ok=True)
    check_clashes(uri, list(files), place)
    missing, gone = _changes(place, files)
    for relative in gone:
        _remove(data, relative)
    wanted = sum(item.num_bytes for item in missing.values())
    download = Download(s3, uri.bucket, data, place / "partial")
    needed = wanted - download.keep(missing.values())  # what a killed run got has its room already
    free = shutil.disk_usage(place).free
    if needed > free:
        raise HostError(f"{uri} needs {needed:,} more bytes and {place} has {free:,} free")
    total = sum(item.num_bytes for item in files.values())
    progress = Progress(sys.stderr, -(-total // MB), (total - wanted) // MB, unit="MB")
    done = len(files) - len(missing)
    with (place / "manifest.jsonl").open("a", encoding="utf-8") as manifest:
        manifest.write("\n")  # the line before may be torn

        def on_file(relative: str) -> None:
            nonlocal done
            done += 1
            manifest.write(_line(data, relative, files[relative]))

        def on_bytes(count: int) -> None:
            remark = f"{done:,} of {len(files):,} files of {uri}"
            progress.show((total - wanted + count) // MB, remark)

        download.run(missing, on_file, on_bytes)
    progress.clear()
    os.sync()  # files first: the manifest must not promise what a power cut takes
    write_text(place / "manifest.jsonl", "".join(_line(data, name, files[name]) for name in files))
    shutil.rmtree(place / "partial", ignore_errors=True)
    seconds = time.monotonic() - started
    say(
        f"staged {uri}: {len(missing):,} of {len(files):,} files, {wanted / MB:,.1f} MB in "
        f"{duration(seconds)}",
        to=sys.stderr,
    )


def _changes(place: Path, files: Files) -> tuple[Files, list[str]]:
    """(objects that are not here as they are in S3, files here that are not in S3)."""
    data = place / "data"
    known = _read_manifest(place / "manifest.jsonl")
    present = _present(data)
    missing = {
        name: item
        for name, item in files.items()
        if name not in present
        or present[name][0] != item.num_bytes
        or known.get(name) != [item.etag, *present[name]]
    }
    return missing, [name for name in present if name not in files]


def _present(data: Path) -> dict[str, tuple[int, int]]:
    """Relative name -> (bytes, time of change) of every file that is here."""
    found: dict[str, tuple[int, int]] = {}
    waiting = [""] if data.is_dir() else []
    while waiting:
        inside = waiting.pop()
        with os.scandir(data / inside) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                else:
                    about = entry.stat(follow_symlinks=False)
                    found[name] = (about.st_size, about.st_mtime_ns)
    return found


def _read_manifest(path: Path) -> dict[str, list[Any]]:
    """Name -> [ETag, bytes, time of change]. The last line may be torn: a kill is no error."""
    known: dict[str, list[Any]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, TypeError):
                name, *rest = json.loads(line)
                known[name] = rest
    return known


def _line(data: Path, name: str, item: S3Object) -> str:
    about = (data / name).stat()
    return json.dumps([name, item.etag, about.st_size, about.st_mtime_ns]) + "\n"


def _remove(data: Path, name: str) -> None:
    """A file, and the folders that it was the last in."""
    path = data / name
    path.unlink(missing_ok=True)
    while path.parent != data:
        path = path.parent
        try:
            path.rmdir()
        except OSError:
            return


def _open_lock(place: Path) -> int:
    try:
        place.mkdir(parents=True, exist_ok=True)
        return os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise cannot_write(place, error) from error


def _lock(handle: int, kind: int) -> bool:
    """Take the lock, or change the one that is held; False when somebody else's is in the way."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # not every network's file system has locks
        return True
    return True


@contextlib.contextmanager
def _disk_errors(place: Path) -> Iterator[None]:
    """A disk that is full, read-only or holds something else there is no defect of ours."""
    try:
        yield
    except BrokenPipeError:  # nobody reads what we say: not the disk
        raise
    except OSError as error:
        raise cannot_write(Path(error.filename or place), error) from error


@contextlib.contextmanager
def _plain_errors(name: str) -> Iterator[None]:
    """Errors that say which channel, and what to do."""
    try:
        yield
    except ChannelError as error:
        raise ChannelError(f"channel {name!r}: {error}") from None
    except AwsError as error:
        raise AwsError(f"channel {name!r}: {error}", error.code) from None

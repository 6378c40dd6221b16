"""Files that matter: written to a temporary name in the same folder, flushed, then renamed."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract.errors import HostError, KennelError

_STAGING_PREFIX = ".kennel-"
_SUFFIX = ".tmp"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RANDOM = "?" * 8  # what tempfile puts into a name


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success it is synced to disk and becomes `path` in one step.

    A crash at any moment leaves either the old file or the new one. Raises HostError when the
    disk is full or the folder is not writable.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_SUFFIX, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Yield a new folder inside `folder`, for files that appear together; removed at the end.

    Raises HostError when `folder` is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=folder))
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what `replacing` and `staging` of a killed process left directly in `folder`.

    For the start of a job: nobody else may be writing there.
    """
    for path in folder.glob(f".*.{_RANDOM}{_SUFFIX}"):
        path.unlink(missing_ok=True)
    for path in folder.glob(f"{_STAGING_PREFIX}{_RANDOM}"):
        shutil.rmtree(path, ignore_errors=True)


def sync(path: Path) -> None:
    """Have the system put the file's bytes on the disk. Raises OSError."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def is_full(error: OSError) -> bool:
    """True when there was no room for what should be written."""
    return error.errno in _FULL


def cannot_write(path: Path, error: BaseException) -> HostError:
    """The line for a write that failed, whichever library noticed: where, why, what to do."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := re.search(r"\(os error (\d+)\)", str(error))):
        number = int(found[1])  # safetensors passes the system's number on like this
    reason = os.strerror(number) if number else " ".join(str(error).split())
    return HostError(f"cannot write {path}: {reason}; {_remedy(path, number)}")


def _remedy(path: Path, number: int | None) -> str:
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"make it writable for user {os.getuid()}"
    if number == errno.EFBIG:
        return "raise the limit on file sizes (ulimit -f)"
    # Without a number the disk is the likely cause: openvino says no more than that it failed.
    if number is None or number in _FULL:
        return f"{_free_mb(path):,.0f} MB are free there: give the job a larger volume"
    return "check the path"


def _free_mb(path: Path) -> float:
    folder = next(parent for parent in (path, *path.parents) if parent.is_dir())
    return shutil.disk_usage(folder).free / 1e6


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text through `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes through `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON through `replacing`; NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, otherwise: type[KennelError]) -> Any:
    """Parse a JSON file; a missing or malformed one raises `otherwise` with the path."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise otherwise(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise otherwise(f"{path} cannot be read as JSON: {error}") from error


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

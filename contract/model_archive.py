"""Model archive: unpacking the model.tar.gz that SageMaker packs, whoever it came from."""

import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from contract.errors import BundleError
from contract.files import cannot_write, staging

CHUNK_BYTES = 1 << 20
# Weights hardly compress: what grows this much, above this size, is a bomb.
MAX_RATIO = 100
RATIO_FROM_BYTES = 1_000_000_000
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, ValueError)


def unpack_model(archive: Path, folder: Path, *, ratio_from_bytes: int = RATIO_FROM_BYTES) -> None:
    """Unpack into `folder`, which appears whole or not at all. Links and devices are refused.

    Raises:
        BundleError: damaged, a bomb, or a member that is not a file or folder below `folder`.
        HostError: the disk is full or not writable.
    """
    try:
        allowed = max(ratio_from_bytes, MAX_RATIO * archive.stat().st_size)
        with staging(folder.parent) as staged, tarfile.open(archive, "r|*") as tar:
            inside = staged / "model"
            inside.mkdir()
            for member in tar:
                allowed -= _unpack_member(tar, member, inside, allowed)
            inside.rename(folder)
    except _DAMAGED as error:
        raise BundleError(f"{archive} cannot be unpacked as a model.tar.gz: {error}") from error
    except OSError as error:
        if error.errno is None:  # gzip reports damage without a number
            raise BundleError(f"{archive} cannot be unpacked: {error}") from error
        raise cannot_write(folder, error) from error


def _unpack_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, allowed_bytes: int
) -> int:
    """One folder or file; the bytes that it took. Raises ValueError: a name that leads elsewhere.

    tarfile's own filter for that needs Python 3.11.4.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{member.name} leads out of the archive")
    target = folder / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return 0
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise ValueError(f"{member.name} is neither a file nor a folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        return _copy(source, file, allowed_bytes)


def _copy(source: IO[bytes], file: IO[bytes], allowed_bytes: int) -> int:
    copied = 0
    while chunk := source.read(CHUNK_BYTES):
        copied += len(chunk)
        if copied > allowed_bytes:
            raise ValueError(f"it unpacks to over {MAX_RATIO} times its size")
        file.write(chunk)
    return copied

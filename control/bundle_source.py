"""Where a bundle is: its own folder, a run's folder, or the model.tar.gz that SageMaker packs."""

import contextlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from contract.errors import BundleError, UsageError
from contract.manifest import MANIFEST_NAME, read_manifest
from contract.opt_ml import OptMl
from control.runs import RUNS, find_run

ARCHIVE_NAME = "model.tar.gz"


@contextlib.contextmanager
def opened_bundle(source: Path) -> Iterator[Path]:
    """Yield the folder of a bundle; an archive is unpacked for as long as the block runs.

    `source` may also be a run's number or name. Raises UsageError when nothing is there and
    BundleError when what is there is not a bundle.
    """
    found = find_bundle(source)
    if found.is_dir():
        read_manifest(found)
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="kennel-bundle-") as folder:
        _unpack(found, Path(folder))
        read_manifest(Path(folder))
        yield Path(folder)


def find_bundle(source: Path) -> Path:
    """The folder with bundle.json, or the archive. Raises UsageError when nothing is there."""
    if not _is_there(source):
        try:
            source = find_run(RUNS, str(source)).folder
        except UsageError:
            raise UsageError(
                f"{source} does not exist: give a bundle, a run folder or a model.tar.gz"
            ) from None
    inside = (source, OptMl(source).model_dir, source / ARCHIVE_NAME)
    for candidate in inside:
        if candidate.is_file() or (candidate / MANIFEST_NAME).is_file():
            return candidate
    # read_manifest says what is missing and what to do.
    return source


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack below `folder` and nowhere else. tarfile's own filter for that needs Python 3.11.4."""
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                _unpack_member(tar, member, folder)
    except tarfile.ReadError as error:
        # Of a file that is none it says what each way of packing makes of it, a line each.
        reason = "it is no archive" if "\n" in str(error) else str(error)
        raise BundleError(
            f"{archive} cannot be unpacked as a model.tar.gz: {reason}; expected a bundle, a run "
            "folder or a model.tar.gz"
        ) from error
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise BundleError(f"{archive} cannot be unpacked as a model.tar.gz: {error}") from error


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """One folder or file. Raises ValueError: a link, a device, or a name that leads elsewhere."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{member.name} leads out of the archive")
    target = folder / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise ValueError(f"{member.name} is neither a file nor a folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # no file can have this name: too long
        return False

"""Where a bundle is: its own folder, a run's folder, or the model.tar.gz that SageMaker packs."""

import contextlib
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
    found = _find(source)
    if found.is_dir():
        read_manifest(found)
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="kennel-bundle-") as folder:
        _unpack(found, Path(folder))
        read_manifest(Path(folder))
        yield Path(folder)


def _find(source: Path) -> Path:
    """The folder with bundle.json, or the archive."""
    if not source.exists():
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
    """Unpack below `folder` and nowhere else: the data filter refuses links and paths out of it."""
    if not hasattr(tarfile, "data_filter"):
        raise UsageError("unpacking a model.tar.gz safely needs Python 3.11.4 or newer")
    try:
        with tarfile.open(archive, "r:*") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BundleError(f"{archive} cannot be unpacked as a model.tar.gz: {error}") from error

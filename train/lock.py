"""Lock: one master at a time works in a study's folder."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import HostError
from contract.files import cannot_write
from contract.job import TrainingJob

# For the master of a `kennel tune` that was killed: it saves its trials, and ends.
PATIENCE_SECONDS = 20.0
_POLL_SECONDS = 0.2

log = logging.getLogger(__name__)


@contextmanager
def locked(job: TrainingJob, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Nobody else works on a study with this job's checkpoints meanwhile.

    The lock goes with the process, however that ends. Hosts that share the folder have one each.
    Who has it gets `patience_seconds` to end.

    Raises HostError: another process has it, or the folder is not writable.
    """
    folder = job.outputs.checkpoint_dir or job.outputs.data_dir
    path = folder / f".study-{job.cluster.current_host}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        _take(descriptor, path, time.monotonic() + patience_seconds)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, deadline: float) -> None:
    try:
        while not _is_free(descriptor):
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace") or "unknown"
                raise HostError(
                    f"another process (number {holder}) works on this study in {path.parent}: "
                    "wait for its end, or stop it; then the same command continues"
                )
            time.sleep(_POLL_SECONDS)
    except OSError as error:  # some network file systems have no locks
        log.debug("%s cannot be locked: %s", path, error)
        return
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _is_free(descriptor: int) -> bool:
    """Ours now, if so."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

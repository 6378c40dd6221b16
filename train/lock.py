"""Lock: one master at a time works in a study's folder."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import HostError
from contract.files import cannot_write
from contract.job import TrainingJob

log = logging.getLogger(__name__)


@contextmanager
def locked(job: TrainingJob) -> Iterator[None]:
    """Nobody else works on a study with this job's checkpoints meanwhile.

    The lock goes with the process, however that ends. Hosts that share the folder have one each.

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
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace") or "unknown"
        raise HostError(
            f"another process (number {holder}) works on this study in {path.parent}: wait for its "
            "end, or stop it; then the same command continues"
        ) from None
    except OSError as error:  # some network file systems have no locks
        log.debug("%s cannot be locked: %s", path, error)
        return
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)

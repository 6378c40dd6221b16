"""How many worker processes may prepare batches: they hand them over through /dev/shm."""

import logging
import os

from contract.hyperparameters import Hyperparameters
from train.device import Device

log = logging.getLogger(__name__)

SHARED_MEMORY = "/dev/shm"
_PREFETCHED = 3  # batches a worker holds: two ahead and the one in use


def num_loader_workers(values: Hyperparameters, device: Device, crop_px: int) -> int:
    """`num-workers`, or with -1: none on a CPU (the network needs it), else one a spare CPU.

    Containers have 64 MB of /dev/shm unless somebody says more; workers that do not fit there
    die with a bus error, so fewer are taken and that is said aloud.
    """
    wanted = values.num_workers
    if wanted < 0:
        wanted = min(8, device.cpus - 1) if device.is_cuda else 0
    each = values.batch_size * crop_px * crop_px * 3 * _PREFETCHED
    fitting = int(_free_bytes() * 0.8) // max(1, each)
    if wanted > fitting:
        log.warning(
            "warning: %s has room for %d of %d loader workers; start the container with a larger "
            "--shm-size to use all",
            SHARED_MEMORY,
            fitting,
            wanted,
        )
    return min(wanted, fitting)


def _free_bytes() -> int:
    try:
        status = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize

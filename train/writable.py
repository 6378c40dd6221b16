"""Writable: whether a job can leave its results, found out before it takes pains over them."""

import os
import tempfile

from contract.files import cannot_write, remove_leftovers
from contract.job import TrainingJob


def check_outputs(job: TrainingJob) -> None:
    """Find out before the first expensive step that results can be written. Raises HostError."""
    for folder in (job.outputs.model_dir, job.outputs.data_dir, job.outputs.checkpoint_dir):
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Several hosts may share the folder: SageMaker's Local Mode does so.
            handle, probe = tempfile.mkstemp(prefix=".kennel-write-test-", dir=folder)
            os.close(handle)
            os.unlink(probe)
        except OSError as error:
            raise cannot_write(folder, error) from error
        if job.cluster.rank == 0:  # the folder may be shared, and the others may be late
            remove_leftovers(folder)

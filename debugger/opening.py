"""Opening what a job saved so far: one folder, several hosts' folders, or a prefix in S3."""

from collections.abc import Iterator
from contextlib import contextmanager

from contract.errors import JobError
from debugger.folders import TensorPlace, check_source, find_tensors
from debugger.rules.evaluation import NOTHING_SAVED
from debugger.saved import SavedTensors
from debugger.tensors import lacking, open_trial


@contextmanager
def opened(source: str) -> Iterator[SavedTensors]:
    """All complete steps of a job. Raises UsageError, JobError: there is nothing."""
    check_source(source)
    folders = find_tensors(source)
    if not folders:
        raise JobError(f"{source}: {NOTHING_SAVED}")
    place = TensorPlace(folders)
    try:
        place.update()
        if reason := lacking(place.path):
            raise JobError(reason)
        saved = SavedTensors(open_trial(place.path))
        saved.end()
        yield saved
    finally:
        place.close()

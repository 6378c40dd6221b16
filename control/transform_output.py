"""Transform output: where the result of a transform goes, a folder here or one in S3.

What goes to S3 is made in a folder below ~/.cache/kennel first, so a killed transform continues on
the machine where it began; it is uploaded when it is complete.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from contract.errors import UsageError
from control.s3 import S3, SCHEME, S3Uri
from control.transform_results import (
    REFUSED_NAME,
    SUMMARY_NAME,
    State,
    TransformFolder,
    TransformJob,
)


class TransformOutput(Protocol):
    """Where the rows are made, and where they end."""

    folder: TransformFolder

    def find(self, job: TransformJob) -> State | None:
        """What there is of `job`: finished, begun, or None. Raises UsageError for another's."""
        ...

    def publish(self, state: State) -> None:
        """Give the files their places. Can be repeated after a kill."""
        ...

    def place(self, name: str) -> str:
        """Where a file of the result is in the end."""
        ...


class LocalOutput:
    """A folder of this machine."""

    def __init__(self, folder: TransformFolder) -> None:
        self.folder = folder

    def find(self, job: TransformJob) -> State | None:
        """As TransformFolder's."""
        return self.folder.find(job)

    def publish(self, state: State) -> None:
        """As TransformFolder's."""
        self.folder.publish(state)

    def place(self, name: str) -> str:
        """A path."""
        return str(self.folder.out / name)


class S3Output:
    """A prefix in S3; the rows are made in `folder`."""

    def __init__(self, s3: S3, uri: S3Uri, folder: TransformFolder) -> None:
        self.folder = folder
        self._s3, self._uri = s3, uri

    def find(self, job: TransformJob) -> State | None:
        """What is here, or what is complete in S3."""
        state = self.folder.find(job)
        summary = self._uri.join(SUMMARY_NAME)
        if state is None and self._s3.exists(summary):
            state = State.parse(self._s3.read(summary), str(summary))
            state.check(job, str(self._uri))
        return state

    def publish(self, state: State) -> None:
        """Upload, the summary last: where it is, all is there."""
        if self.folder.is_empty():
            return  # an earlier session has done it
        self.folder.publish(state)
        for name in (state.job.predictions_name, REFUSED_NAME, SUMMARY_NAME):
            self._s3.upload(self.folder.out / name, self._uri.join(name))
        shutil.rmtree(self.folder.out, ignore_errors=True)

    def place(self, name: str) -> str:
        """An address."""
        return str(self._uri.join(name))


@contextlib.contextmanager
def open_output(out: str, source: str) -> Iterator[TransformOutput]:
    """The output that `out` names, for this process alone.

    Raises UsageError when another transform writes there, or when it is the input itself.
    """
    if out.startswith(SCHEME):
        uri = S3Uri.parse(out).folder()
        name = hashlib.sha256(str(uri).encode()).hexdigest()[:16]
        folder = TransformFolder(Path.home() / ".cache" / "kennel" / "transform" / name)
        s3 = S3()
        with folder.locked():
            yield S3Output(s3, uri, folder)
        return
    if not source.startswith(SCHEME) and Path(out).resolve() == Path(source).resolve():
        raise UsageError(f"-o {out} is the input itself: give the result a folder of its own")
    if Path(out).exists() and not Path(out).is_dir():
        raise UsageError(f"-o {out} is a file: give the result a folder")
    folder = TransformFolder(Path(out))
    with folder.locked():
        yield LocalOutput(folder)

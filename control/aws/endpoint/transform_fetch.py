"""TransformFetch: the answers of a batch transform from S3, as rows of the table that
`kennel transform` makes here.
"""

import itertools
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contract.errors import InterruptedJobError
from control.aws.endpoint.transform_count import OUT
from control.aws.endpoint.transform_reasons import NO_REASON, Reason
from control.aws_client import AwsError
from control.child import Signals
from control.progress import Progress
from control.s3 import MISSING, S3, S3Uri
from control.transform import transform
from control.transform_results import ResultFiles
from control.transform_row import Row, answered, refused, text_of

THREADS = 32  # an answer takes tens of milliseconds to come
LOOKED_AT = 20  # answers, to learn how SageMaker calls them


@dataclass(slots=True, kw_only=True)
class Answers:
    """The answers of one job. For many threads.

    Args:
        folder: the job's, in S3.
        base: what SageMaker put before the objects' names there, usually nothing.
        keys: the input's folder: an object's key, as the log has it, is that and its name.
        reasons: key -> why there is no answer.
        are_records: objects of several records, answered a line each.
        absent: what to say of an object of which the log says nothing.
    """

    s3: S3
    folder: S3Uri
    base: str
    keys: str
    format: str
    reasons: Mapping[str, Reason]
    are_records: bool = False
    absent: Reason = NO_REASON
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, name: bytes) -> Row:
        """The row of one object, or one for each of its records. Raises AwsError, KennelError."""
        if self._stopped.is_set():
            raise InterruptedJobError("the transform was told to stop")
        try:
            data = self.s3.read(self.folder.join(f"{self.base}{name.decode()}{OUT}"))
        except AwsError as error:
            if error.code not in MISSING:
                raise
            reason = self.reasons.get(self.keys + name.decode(), self.absent)
            return refused(name, reason.status, reason.text)
        lines = [line + b"\n" for line in data.split(b"\n") if line.strip()]
        if not self.are_records:
            return answered(name, lines[0] if len(lines) == 1 else data, self.format)
        rows = (
            answered(f"{text_of(name)}#{number}".encode(), line, self.format).data
            for number, line in enumerate(lines, start=1)
        )
        return Row(data=b"".join(rows))

    def stop(self) -> None:
        """Have every `run` end soon."""
        self._stopped.set()


def fetch(answers: Answers, files: ResultFiles, signals: Signals) -> bool:
    """Write the rows that are missing; False when a signal came. What is done stays.

    Raises AwsError: S3 cannot be asked. KennelError: an answer is not our server's.
    """
    progress = Progress(sys.stderr, files.state.total, files.state.done)
    return transform(answers, files, THREADS, progress, signals)


def base_of(s3: S3, answers: S3Uri, given: S3Uri) -> str:
    """What SageMaker put before an object's name in the folder of answers.

    The API reference names the input's last folder there, and real jobs have nothing; so some
    answers are looked at: the objects that they would be of must exist. Raises AwsError.

    Args:
        given: the input's folder.
    """
    found = (key for key in s3.list(answers) if key.endswith(OUT))
    names = [key[len(answers.key) : -len(OUT)] for key in itertools.islice(found, LOOKED_AT)]

    def fits(base: str) -> bool:
        return all(
            name.startswith(base)
            and s3.exists(S3Uri(given.bucket, given.key + name.removeprefix(base)))
            for name in names
        )

    return next(filter(fits, _bases(given.key)), "")


def _bases(folder: str) -> Iterable[str]:
    """Nothing, `b/` and `a/b/` for the folder `a/b/`: what real jobs have first."""
    yield ""
    parts = folder.rstrip("/").split("/") if folder else []
    for number in reversed(range(len(parts))):
        yield "/".join(parts[number:]) + "/"

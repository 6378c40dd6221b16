"""Transform results: the folder that a transform fills, in steps that a kill cannot tear.

While it runs, everything is in OUT/unfinished: the plan, the rows so far, and state.json, which
says how many bytes of each are good. Rows go to the disk first, state.json after them in one step,
so a killed transform loses at most its last seconds: what lies beyond the good bytes is cut off and
done again. The files get their places in OUT when all is done.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from contract.errors import HostError, SpecError, UsageError
from contract.files import cannot_write, write_json
from control.transform_plan import END, read_plan
from control.transform_row import FORMATS, Row, header, refused_header

SUMMARY_NAME = "transform.json"
REFUSED_NAME = "refused.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformJob:
    """What must be the same for two sessions to add to one result."""

    input: str
    model: str
    format: str
    content_type: str

    @property
    def predictions_name(self) -> str:
        """The file of answers."""
        return f"predictions.{self.format}"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far a transform is. Bytes are those of the three files that are good."""

    job: TransformJob
    total: int  # pictures of the plan
    left_out: dict[str, int]
    done: int = 0
    refused: int = 0
    seconds: float = 0.0  # of work, over all sessions
    plan_bytes: int = 0
    predictions_bytes: int = 0
    refused_bytes: int = 0

    @classmethod
    def parse(cls, text: bytes, where: str) -> "State":
        """Raises SpecError when it is not ours."""
        try:
            data = json.loads(text)
            return cls(**{**data, "job": TransformJob(**data["job"])})
        except (ValueError, TypeError, KeyError) as error:
            raise SpecError(f"{where} is not one we know: {error}") from None

    def check(self, job: TransformJob, out: str) -> None:
        """Raises UsageError when this is another job's."""
        before, now = asdict(self.job), asdict(job)
        changed = [f"{key}: {before[key]} -> {now[key]}" for key in now if before[key] != now[key]]
        if changed:
            raise UsageError(
                f"{out} holds results of another job ({'; '.join(changed)}), and one table is "
                "never made of two: give another -o, or --restart to begin anew"
            )


class TransformFolder:
    """OUT. One process may use it at a time."""

    def __init__(self, out: Path) -> None:
        self.out, self.unfinished = out, out / "unfinished"
        self.plan = self.unfinished / "plan"
        self.summary = out / SUMMARY_NAME
        self._state = self.unfinished / "state.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Raises UsageError when another process has it, HostError when it cannot be made."""
        try:
            self.unfinished.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.out, os.O_RDONLY)
        except OSError as error:
            raise cannot_write(self.out, error) from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"another kennel transform is writing {self.out}") from None
            except OSError:  # not every network's file system has locks
                pass
            yield
        finally:
            os.close(handle)
            with contextlib.suppress(OSError):
                self.unfinished.rmdir()  # where nothing was begun

    def is_empty(self) -> bool:
        """Whether there is nothing of any transform."""
        return not self.summary.exists() and not self._state.exists()

    def clear(self) -> None:
        """Remove every result, finished or not, that a transform leaves."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        for name in (SUMMARY_NAME, REFUSED_NAME, *(f"predictions.{form}" for form in FORMATS)):
            (self.out / name).unlink(missing_ok=True)
        self.unfinished.mkdir(parents=True)

    def find(self, job: TransformJob) -> State | None:
        """What there is of `job`: finished, begun, or None. Raises UsageError for another job's."""
        for path in (self.summary, self._state):
            if path.exists():
                state = State.parse(path.read_bytes(), str(path))
                state.check(job, str(self.out))
                return state
        if (self.out / job.predictions_name).exists():
            raise UsageError(
                f"{self.out} holds a {job.predictions_name} that is not a transform's: give "
                "another -o, or --restart to replace it"
            )
        return None

    def begin(self, state: State) -> None:
        """Note that the plan is complete."""
        write_json(self._state, asdict(state))

    def publish(self, state: State) -> None:
        """Give the files their places. Can be repeated after a kill."""
        for name in (state.job.predictions_name, REFUSED_NAME):
            if (self.unfinished / name).exists():
                os.replace(self.unfinished / name, self.out / name)
        write_json(self.summary, asdict(state))
        shutil.rmtree(self.unfinished, ignore_errors=True)


class ResultFiles:
    """The files of an unfinished transform, open for more rows. For one thread."""

    def __init__(self, folder: TransformFolder, state: State) -> None:
        self.state = state
        self._folder = folder
        self._is_torn = False  # a write failed: nobody knows what of it is in the file
        answers = folder.unfinished / state.job.predictions_name
        refusals = folder.unfinished / REFUSED_NAME
        self._answers = _open(answers, state.predictions_bytes, header(state.job.format))
        self._refusals = _open(refusals, state.refused_bytes, refused_header())

    def names(self) -> Iterator[bytes]:
        """What is left of the plan."""
        return read_plan(self._folder.plan, self.state.plan_bytes)

    def add(self, name: bytes, row: Row) -> None:
        """The row of the plan's next picture."""
        with self._writing():
            (self._refusals if row.is_refused else self._answers).write(row.data)
        state = self.state
        self.state = replace(
            state,
            done=state.done + 1,
            refused=state.refused + row.is_refused,
            plan_bytes=state.plan_bytes + len(name) + len(END),
        )

    def commit(self, seconds: float) -> None:
        """Have all rows on the disk, and say so; `seconds` have passed since the last time."""
        if self._is_torn:
            return
        with self._writing():
            for file in (self._answers, self._refusals):
                file.flush()
                os.fsync(file.fileno())
        self.state = replace(
            self.state,
            seconds=round(self.state.seconds + seconds, 3),
            predictions_bytes=self._answers.tell(),
            refused_bytes=self._refusals.tell(),
        )
        self._folder.begin(self.state)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._is_torn = True
            raise cannot_write(self._folder.unfinished, error) from None

    def close(self) -> None:
        """Close the files; what was not committed is done again."""
        for file in (self._answers, self._refusals):
            with contextlib.suppress(OSError):  # a full disk, said already
                file.close()


def _open(path: Path, good_bytes: int, beginning: bytes) -> IO[bytes]:
    """The file, cut to its good bytes. Raises HostError when some of those are missing."""
    try:
        file = path.open("r+b" if good_bytes else "w+b")
        if file.seek(0, os.SEEK_END) < good_bytes:
            file.close()
            raise HostError(f"{path} was shortened by somebody else: give --restart")
        file.seek(good_bytes)
        file.truncate()
        file.write(b"" if good_bytes else beginning)
    except OSError as error:
        raise cannot_write(path, error) from None
    return file

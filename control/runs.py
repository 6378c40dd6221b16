"""Runs: the numbered folders below runs/, each one job with all that it was told and left."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from contract.errors import HostError, SpecError, UsageError
from contract.files import cannot_write, read_json, write_json
from contract.opt_ml import OptMl
from control.orphan import STOPPING, Process, fate_of

RUNS = Path("runs")
RUN_NAME = "run.json"
LOG_NAME = "train.log"
REPORT_NAME = "report.html"
UNDER_WAY = ("InProgress", STOPPING)
NUMBERED = re.compile(r"(\d{4,})-(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run folder, as its run.json tells. Statuses are SageMaker's words."""

    name: str  # the job's
    status: str = "InProgress"  # then Completed, Failed or Stopped; see also `read_run`
    folder: Path
    started_at: str = ""  # ISO 8601, UTC
    seconds: float = 0.0
    pid: int = 0  # of the `kennel run` that looks after it
    born: int = 0  # when that process began, see `Process`
    jobs: Sequence[Sequence[int]] = field(default_factory=list)  # what it started, each a Process
    containers: Sequence[str] = field(default_factory=list)  # their names, where there are some
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    storage: str = ""  # of a study: the database that it shares, without its password
    metrics: Mapping[str, float] = field(default_factory=dict)  # the last value of each
    failure_reason: str | None = None
    rules: Sequence[Mapping[str, Any]] = field(
        default_factory=list
    )  # that watched it, see rule_text.summary_of
    # Of a job in AWS: kind, job (its name there), region, console (a link); once it has ended
    # seconds, billable_seconds, usd. Empty for a job of this machine.
    aws: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; the folder as text."""
        return {**asdict(self), "folder": str(self.folder)}

    @property
    def report(self) -> Path:
        """Where training leaves its page."""
        return OptMl(self.folder).output_data_dir / REPORT_NAME


def make_run_folder(runs: Path, name: str) -> Path:
    """Make and return `runs/NNNN-name`, one past the highest number. Never an existing folder.

    Raises HostError: nothing can be written there.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        while True:
            numbers = [int(match[1]) for match in map(_numbered, runs.iterdir()) if match]
            folder = runs / f"{max(numbers, default=0) + 1:04d}-{name}"
            # Another `kennel run` may take the number between the two lines; then count again.
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        raise cannot_write(runs.absolute(), error) from None


@contextlib.contextmanager
def one_at_a_time(runs: Path) -> Iterator[None]:
    """Nobody else looks for a run to go on with meanwhile, and makes a second one.

    Raises HostError: the folder cannot be made.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        folder = os.open(runs, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(runs.absolute(), error) from None
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write_run(run: Run) -> None:
    """Write run.json, in one step."""
    write_json(run.folder / RUN_NAME, run.to_json())


def note_job(folder: Path, pids: Sequence[int], containers: Sequence[str] = ()) -> None:
    """Write down what a run's job consists of: it may outlive us."""
    jobs, names = [list(Process.of(pid)) for pid in pids], list(containers)
    with contextlib.suppress(HostError):  # a full disk is the job's to tell
        write_run(replace(stored_run(folder), jobs=jobs, containers=names))


def stored_run(folder: Path) -> Run:
    """What run.json says. Raises SpecError: it is not one that we know."""
    data = read_json(folder / RUN_NAME, SpecError)
    try:
        return Run(**{**data, "folder": folder})
    except TypeError as error:
        raise SpecError(f"{folder / RUN_NAME} is not one we know: {error}") from error


def read_run(folder: Path) -> Run:
    """The run as it is now. One whose process is gone without a word is what its job made of it,
    Stopping while that is still there; except in AWS, where the job goes on.
    """
    run = stored_run(folder)
    if run.status != "InProgress" or run.aws or Process(run.pid, run.born).is_alive:
        return run
    jobs = [Process(*one) for one in run.jobs]
    fate = fate_of(folder, run.pid, jobs, run.containers)
    return replace(
        run,
        status=fate.status,
        failure_reason=fate.failure_reason,
        metrics=fate.metrics,
        seconds=fate.seconds or run.seconds,
    )


def settle_run(run: Run) -> None:
    """Have run.json say what `read_run` found, once that is for good. Raises HostError."""
    if run.status not in UNDER_WAY and run != stored_run(run.folder):
        write_run(run)


def list_runs(runs: Path) -> list[Run]:
    """Every run below `runs`, oldest first."""
    folders = [path for path in runs.iterdir() if _numbered(path)] if runs.is_dir() else []
    present = [path for path in folders if (path / RUN_NAME).is_file()]
    return [read_run(folder) for folder in sorted(present, key=_number)]


def find_run(runs: Path, which: str | None) -> Run:
    """A run by folder, number (`7`), folder name or job name; without any, the newest.

    Raises UsageError: there is none.
    """
    if which and _is_file(Path(which) / RUN_NAME):
        return read_run(Path(which))
    known = list_runs(runs)
    if not known:
        raise UsageError(f"no run in {runs}/ yet: start one with `kennel run JOB.toml`")
    matching = [run for run in known if which is None or _is_called(run, which)]
    if not matching:
        names = ", ".join(run.folder.name for run in known[-5:])
        raise UsageError(f"no run is called {which!r} in {runs}/; the newest are: {names}")
    return matching[-1]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no file can have this name: too long
        return False


def _is_called(run: Run, which: str) -> bool:
    number = which.isdecimal() and int(which) == _number(run.folder)
    return number or which in (run.folder.name, run.name)


def _numbered(path: Path) -> re.Match[str] | None:
    return NUMBERED.fullmatch(path.name)


def _number(path: Path) -> int:
    match = _numbered(path)
    return int(match[1]) if match else 0

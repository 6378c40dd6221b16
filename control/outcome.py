"""Outcome: how a job ended, and what every runner does around that: folder, run.json, reason."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

from contract.errors import KennelError
from contract.job import JobResult
from contract.opt_ml import OptMl
from control.child import Ending
from control.job_spec import JobSpec
from control.orphan import Process
from control.rule_text import summary_of
from control.rule_watch import Verdict
from control.runs import LOG_NAME, RUN_NAME, Run, make_run_folder, read_run, write_run
from control.terminal import say

Status = Literal["Completed", "Failed", "Stopped"]
STATUS_BY_ENDING: Mapping[str, Status] = {
    "itself": "Failed",
    "limit": "Stopped",
    "person": "Stopped",
    "rule": "Stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a runner knows after the job's command has ended."""

    ending: Ending
    metrics: Mapping[str, float]  # the last value of each
    base: Path  # /opt/ml of the host whose end counts, as it lies here
    host: str | None = None  # that host's name, where there are several
    complaint: str | None = None  # why its command could not even start
    rules: Verdict = field(default_factory=Verdict)


def carry_out(
    spec: JobSpec,
    runs: Path,
    echo: TextIO,
    train: Callable[[Path], Outcome],
    *,
    folder: Path | None = None,
) -> JobResult:
    """Make the run's folder, call `train` with it, and keep run.json in step.

    With `folder`, the run goes on in that one: its checkpoints, its log and its clock.
    `train` raises KennelError only when it could not start the job.
    """
    folder = folder or make_run_folder(runs, spec.name)
    run = begin_run(spec, folder)
    say(f"job {spec.name} in {folder}", to=echo)
    started = time.monotonic()
    try:
        outcome = train(folder)
    except KennelError as error:
        write_run(replace(run, status="Failed", failure_reason=str(error)))
        raise
    result = _result(run, outcome, time.monotonic() - started)
    write_run(
        replace(
            run,
            status=result.status,
            seconds=round(run.seconds + result.seconds, 1),
            metrics=result.metrics,
            failure_reason=result.failure_reason,
            rules=[summary_of(one) for one in outcome.rules.results],
        )
    )
    return result


def begin_run(spec: JobSpec, folder: Path) -> Run:
    """Write down that the job runs in a folder, by us; time of earlier sessions counts."""
    earlier = read_run(folder) if (folder / RUN_NAME).is_file() else None
    OptMl(folder).failure_file.unlink(missing_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    run = Run(
        name=spec.name,
        folder=folder,
        started_at=earlier.started_at if earlier else now,
        seconds=earlier.seconds if earlier else 0.0,
        pid=os.getpid(),
        born=Process.of(os.getpid()).born,
        hyperparameters=spec.hyperparameters,
        channels={name: str(path) for name, path in spec.channels.items()},
        storage=earlier.storage if earlier else "",
    )
    write_run(run)
    return run


def channel_folders(folder: Path, channels: Mapping[str, Path]) -> dict[str, Path]:
    """Each channel as a folder, as SageMaker has it: a single file gets one of its own."""
    folders: dict[str, Path] = {}
    for name, path in channels.items():
        folders[name] = path
        if path.is_file():
            folders[name] = folder / "single-files" / name
            folders[name].mkdir(parents=True, exist_ok=True)
            link = folders[name] / path.name
            link.unlink(missing_ok=True)  # of an earlier session of the same run
            _link_or_copy(path.resolve(), link)
    return folders


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link: training refuses symbolic links that lead out of a channel."""
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copyfile(source, target)


def _result(run: Run, outcome: Outcome, seconds: float) -> JobResult:
    status, reason = _end_of(run, outcome, seconds)
    return JobResult(
        name=run.name,
        status=status,
        folder=run.folder,
        model_dir=OptMl(run.folder).model_dir,
        metrics=outcome.metrics,
        failure_reason=reason,
        seconds=seconds,
    )


def _end_of(run: Run, outcome: Outcome, seconds: float) -> tuple[Status, str | None]:
    """The status, and unless all is well why it is this one."""
    ending, failed_by = outcome.ending, outcome.rules.failed_by
    if ending.code != 0 or ending.by != "itself":
        return STATUS_BY_ENDING[ending.by], _failure_reason(run.folder / LOG_NAME, outcome, seconds)
    if failed_by:
        return "Failed", f"{failed_by}; the training itself completed, and its model is kept"
    return "Completed", None


def _failure_reason(log: Path, outcome: Outcome, seconds: float) -> str:
    """Why a job did not complete: who stopped it, or the line that it left."""
    by = outcome.ending.by
    if by == "limit":
        return f"stopped after {seconds:.0f} s: max_run_seconds is over; what was saved is kept"
    if by == "rule":
        return f"stopped by {outcome.rules.stopped_by}"
    if by == "person":
        return f"stopped by a signal after {seconds:.0f} s; what was saved is kept"
    reason = outcome.complaint or _left_behind(outcome.base) or _exit(outcome.ending.code, log)
    return f"{outcome.host}: {reason}" if outcome.host else reason


def _left_behind(base: Path) -> str:
    """The failure file in one line; empty without one."""
    path = OptMl(base).failure_file
    if not path.is_file():
        return ""
    return " ".join(path.read_text(encoding="utf-8", errors="replace").split())


def _exit(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        hint = "often the machine ran out of memory; " if name == "SIGKILL" else ""
        return f"train was ended by {name}: {hint}see the end of {log}"
    return f"train exited with {code} and left no reason: see the end of {log}"

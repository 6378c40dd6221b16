"""The job as one plain process: `python -m train` on a folder laid out like /opt/ml."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

from contract.errors import HostError
from contract.job import JobResult
from contract.opt_ml import OptMl, write_job
from control.child import (
    Ending,
    Watch,
    counting_signals,
    environment_with,
    our_variables,
    supervise,
)
from control.job_spec import JobSpec
from control.runner import Plan
from control.runs import LOG_NAME, RUNS, Run, make_run_folder, write_run
from control.terminal import say
from control.transcript import Transcript

TRAIN_COMMAND = (sys.executable, "-m", "train")
STATUS_BY_ENDING: Mapping[str, Literal["Failed", "Stopped"]] = {
    "itself": "Failed",
    "limit": "Stopped",
    "person": "Stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRunner:
    """Runs jobs as processes on this machine, each in a fresh folder below `runs`."""

    runs: Path = RUNS
    command: tuple[str, ...] = TRAIN_COMMAND
    echo: TextIO = field(default_factory=lambda: sys.stdout)  # where the job's lines are shown
    grace_seconds: float = 120.0  # from SIGTERM to SIGKILL, as SageMaker does

    def plan(self, spec: JobSpec) -> Plan:
        """What `run` would do, with NNNN for the run's number."""
        return self._plan_in(self.runs / f"NNNN-{spec.name}", spec)

    def run(self, spec: JobSpec) -> JobResult:
        """Run the job to its end. Its folder keeps run.json and train.log besides /opt/ml's own."""
        folder = make_run_folder(self.runs, spec.name)
        write_job(folder.resolve(), spec.hyperparameters, _channel_folders(folder, spec.channels))
        run = Run(
            name=spec.name,
            folder=folder,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            pid=os.getpid(),
            hyperparameters=spec.hyperparameters,
            channels={name: str(path) for name, path in spec.channels.items()},
        )
        write_run(run)
        say(f"job {spec.name} in {folder}", to=self.echo)
        started = time.monotonic()
        ending, metrics = self._train(self._plan_in(folder, spec), folder)
        result = _result(run, ending, metrics, time.monotonic() - started)
        write_run(
            replace(
                run,
                status=result.status,
                seconds=round(result.seconds, 1),
                metrics=result.metrics,
                failure_reason=result.failure_reason,
            )
        )
        return result

    def _plan_in(self, folder: Path, spec: JobSpec) -> Plan:
        return Plan(
            folder=str(folder),
            command=self.command,
            environment={
                # absolute() asks for the current folder only: `plan` must not touch the disk.
                "SAGEMAKER_BASE_DIR": str(folder.absolute()),
                "TRAINING_JOB_NAME": spec.name,
                **our_variables(),
            },
            hyperparameters=spec.hyperparameters,
            channels={name: str(path) for name, path in spec.channels.items()},
            max_run_seconds=spec.max_run_seconds,
        )

    def _train(self, plan: Plan, folder: Path) -> tuple[Ending, dict[str, float]]:
        """Start the child, copy what it says, wait for its end."""
        # A progress bar needs the terminal itself; elsewhere stderr belongs in the log.
        bar = sys.stderr.isatty()
        clear = bar and self.echo.isatty()
        with counting_signals() as signals, Transcript(folder / LOG_NAME, clear_lines=clear) as log:
            try:
                process = subprocess.Popen(
                    plan.command,
                    env=environment_with(plan.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=None if bar else subprocess.PIPE,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,  # Ctrl-C reaches us alone; we pass on SIGTERM
                )
            except OSError as error:
                raise HostError(f"cannot start {plan.command[0]}: {error.strerror}") from error
            if process.stdout:
                log.copy(process.stdout, self.echo)
            if process.stderr:
                log.copy(process.stderr, sys.stderr)
            watch = Watch(
                signals=signals,
                limit_seconds=plan.max_run_seconds,
                grace_seconds=self.grace_seconds,
            )
            ending = supervise(process, watch)
            log.finish()
            return ending, log.metrics


def _channel_folders(folder: Path, channels: Mapping[str, Path]) -> dict[str, Path]:
    """Each channel as a folder, as SageMaker has it: a single file gets one with a link in it."""
    folders: dict[str, Path] = {}
    for name, path in channels.items():
        folders[name] = path
        if path.is_file():
            folders[name] = folder / "single-files" / name
            folders[name].mkdir(parents=True)
            (folders[name] / path.name).symlink_to(path.resolve())
    return folders


def _result(run: Run, ending: Ending, metrics: dict[str, float], seconds: float) -> JobResult:
    done = ending.code == 0 and ending.by == "itself"
    return JobResult(
        name=run.name,
        status="Completed" if done else STATUS_BY_ENDING[ending.by],
        folder=run.folder,
        model_dir=OptMl(run.folder).model_dir,
        metrics=metrics,
        failure_reason=None if done else _failure_reason(run.folder, ending, seconds),
        seconds=seconds,
    )


def _failure_reason(folder: Path, ending: Ending, seconds: float) -> str:
    """Why a job did not complete: who stopped it, or the line that it left."""
    if ending.by == "limit":
        return f"stopped after {seconds:.0f} s: max_run_seconds is over; what was saved is kept"
    if ending.by == "person":
        return f"stopped by a signal after {seconds:.0f} s; what was saved is kept"
    path = OptMl(folder).failure_file
    if path.is_file() and (text := path.read_text(encoding="utf-8", errors="replace").strip()):
        return " ".join(text.split())
    log = folder / LOG_NAME
    if ending.code < 0:
        name = signal.Signals(-ending.code).name
        hint = "often the machine ran out of memory; " if name == "SIGKILL" else ""
        return f"train was ended by {name}: {hint}see the end of {log}"
    return f"train exited with {ending.code} and left no reason: see the end of {log}"

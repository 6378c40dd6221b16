"""The job as one plain process: `python -m train` on a folder laid out like /opt/ml."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from contract.job import JobResult
from contract.opt_ml import write_job
from control.child import Watch, counting_signals, our_variables, start_child, supervise
from control.job_spec import JobSpec
from control.leash import leashed
from control.outcome import Outcome, carry_out, channel_folders
from control.rule_watch import DEBUGGER, RuleWatch
from control.runner import Plan, debug_plan
from control.runs import LOG_NAME, RUNS, note_job
from control.staging import folders_of, staged
from control.transcript import Transcript

TRAIN_COMMAND = (sys.executable, "-m", "train")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRunner:
    """Runs jobs as processes on this machine, each in a fresh folder below `runs`."""

    runs: Path = RUNS
    command: tuple[str, ...] = TRAIN_COMMAND
    echo: TextIO = field(default_factory=lambda: sys.stdout)  # where the job's lines are shown
    grace_seconds: float = 120.0  # from SIGTERM to SIGKILL, as SageMaker does
    environment: Mapping[str, str] = field(default_factory=dict)  # of the job, besides our own
    debugger: tuple[str, ...] = DEBUGGER

    def plan(self, spec: JobSpec) -> Plan:
        """What `run` would do, with NNNN for the run's number."""
        return self._plan_in(self.runs / f"NNNN-{spec.name}", spec)

    def run(self, spec: JobSpec, folder: Path | None = None) -> JobResult:
        """Run the job to its end. Its folder keeps run.json and train.log besides /opt/ml's own.

        With `folder`, an earlier session of the same job goes on there.
        """
        train = partial(self._train, spec=spec)
        with staged(spec.channels, self.runs):
            return carry_out(spec, self.runs, self.echo, train, folder=folder)

    def _plan_in(self, folder: Path, spec: JobSpec) -> Plan:
        return Plan(
            folder=str(folder),
            command=self.command,
            environment={
                # absolute() asks for the current folder only: `plan` must not touch the disk.
                "SAGEMAKER_BASE_DIR": str(folder.absolute()),
                "TRAINING_JOB_NAME": spec.name,
                **our_variables(),
                **self.environment,
            },
            hyperparameters=spec.hyperparameters,
            channels={name: str(path) for name, path in spec.channels.items()},
            max_run_seconds=spec.max_run_seconds,
            **debug_plan(spec.debug, folder),
        )

    def _train(self, folder: Path, spec: JobSpec) -> Outcome:
        """Lay the job out, start the child, copy what it says, wait for its end."""
        channels = channel_folders(folder, folders_of(spec.channels, self.runs))
        write_job(
            folder.resolve(),
            spec.hyperparameters,
            channels,
            hook=spec.debug.hook,
            profiler=spec.debug.profiler,
        )
        plan = self._plan_in(folder, spec)
        # A progress bar needs the terminal itself; elsewhere stderr belongs in the log.
        bar = sys.stderr.isatty()
        clear = bar and self.echo.isatty()
        with (
            counting_signals() as signals,
            Transcript(folder / LOG_NAME, clear_lines=clear) as log,
            self._rules_of(folder, spec, log) as rules,
        ):
            child = start_child(
                leashed(plan.command),  # no job works on in a run that counts as ended
                extra=plan.environment,
                stdout=subprocess.PIPE,
                stderr=None if bar else subprocess.PIPE,
            )
            note_job(folder, [child.pid])
            if child.stdout:
                log.copy(child.stdout, self.echo)
            if child.stderr:
                log.copy(child.stderr, sys.stderr)
            watch = Watch(
                signals=signals,
                limit_seconds=plan.max_run_seconds,
                grace_seconds=self.grace_seconds,
                wants_stop=rules.wants_stop,
            )
            ending = supervise(child, watch)
            log.drain()
            verdict = rules.finish((folder,), signals)
            return Outcome(ending=ending, metrics=log.metrics, base=folder, rules=verdict)

    def _rules_of(self, folder: Path, spec: JobSpec, log: Transcript) -> RuleWatch:
        """They speak among the job's lines."""
        say = partial(log.note, echo=self.echo)
        return RuleWatch(folder, spec.debug.rules, say, self.debugger)

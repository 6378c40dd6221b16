"""For the tests of control/: a job with one picture, run by a script, in any place."""

import dataclasses
import io
import sys
from pathlib import Path

from contract.job import JobResult
from control.docker_engine import ask_engine
from control.job_spec import JobSpec
from control.run_container import ContainerRunner
from control.run_process import ProcessRunner
from control.runner import Runner

STUB_IMAGE = "kennel-serve-cpu"  # the smallest of ours with a Python


def spec_for(folder: Path, max_run_seconds: int = 60, **channels: Path) -> JobSpec:
    """The job `dogs`: one picture, three epochs."""
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    (pictures / "a.png").write_bytes(b"png")
    return JobSpec(
        name="dogs",
        hyperparameters={"epochs": "3"},
        channels={"train": pictures, **channels},
        max_run_seconds=max_run_seconds,
    )


def process_runner(folder: Path) -> ProcessRunner:
    return ProcessRunner(runs=folder / "runs", grace_seconds=10.0)


def container_runner(folder: Path, num_hosts: int = 1) -> ContainerRunner:
    return ContainerRunner(
        engine=ask_engine(),
        image=STUB_IMAGE,
        runs=folder / "runs",
        num_hosts=num_hosts,
        grace_seconds=10.0,
    )


def run_script(
    runner: ProcessRunner | ContainerRunner, script: str, spec: JobSpec, grace_seconds: float = 10.0
) -> tuple[JobResult, str]:
    """Run the job with a Python script as its command; returns what came of it and was shown."""
    python = sys.executable if isinstance(runner, ProcessRunner) else "python"
    shown = io.StringIO()
    started: Runner = dataclasses.replace(
        runner, command=(python, "-c", script), echo=shown, grace_seconds=grace_seconds
    )
    return started.run(spec), shown.getvalue()

"""A run that goes on in its folder keeps what it had; a job gets the environment of its runner."""

import dataclasses
import io
import sys

from runners import process_runner, spec_for

from control.docker_engine import Engine
from control.run_container import ContainerRunner
from control.runs import read_run

COUNTING = """
import os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
count = base / "checkpoints" / "count"
times = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(times))
failure = base / "output" / "failure"
print("session", times, "after a failure" if failure.exists() else "afresh")
if times == 1:
    failure.write_text("the first one always fails")
    sys.exit(1)
"""


def test_a_run_goes_on_with_its_checkpoints_its_log_and_its_clock(tmp_path):
    runner = dataclasses.replace(
        process_runner(tmp_path), command=(sys.executable, "-c", COUNTING), echo=io.StringIO()
    )
    weights = tmp_path / "weights.pth"
    weights.touch()
    spec = spec_for(tmp_path, pretrained=weights)
    first = runner.run(spec)
    before = read_run(first.folder)
    second = runner.run(spec, first.folder)
    after = read_run(second.folder)
    assert (first.status, second.status) == ("Failed", "Completed")
    assert second.folder == first.folder
    log = (first.folder / "train.log").read_text()
    assert log == "session 1 afresh\nsession 2 afresh\n"
    assert after.started_at == before.started_at
    assert (after.status, after.failure_reason) == ("Completed", None)
    assert after.seconds >= before.seconds


def test_the_job_sees_the_environment_of_its_runner(tmp_path):
    shown = io.StringIO()
    script = 'import os; print("storage", os.environ["KENNEL_STUDY_STORAGE"])'
    runner = dataclasses.replace(
        process_runner(tmp_path),
        command=(sys.executable, "-c", script),
        echo=shown,
        environment={"KENNEL_STUDY_STORAGE": "sqlite:///x"},
    )
    assert runner.run(spec_for(tmp_path)).ok
    assert "storage sqlite:///x" in shown.getvalue()


def test_a_container_gets_a_secret_without_showing_it(tmp_path):
    runner = ContainerRunner(engine=Engine(), environment={"KENNEL_STUDY_STORAGE": "pass-word"})
    command = runner.plan(spec_for(tmp_path)).command
    assert "--env=KENNEL_STUDY_STORAGE" in command
    assert "pass-word" not in " ".join(command)

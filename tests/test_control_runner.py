"""What every runner promises: the same tests over real processes and real containers."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from containers import build_images, remove_left
from runners import container_runner, process_runner, run_script, spec_for

from contract.opt_ml import read_job
from control.run_process import ProcessRunner
from control.runs import read_run

BASE = (
    'import os, pathlib, sys\nbase = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))'
)
GOOD = f"""
{BASE}
(base / "model" / "bundle.json").write_text("{{}}")
print("validation:accuracy=0.5;")
print("validation:accuracy=0.75;")
print("a warning", file=sys.stderr)
print("this is", os.environ["TRAINING_JOB_NAME"])
"""
BAD = f"""
{BASE}
(base / "output" / "failure").write_text("no pictures in channel 'train'\\n")
sys.exit(2)
"""
READING = f"""
{BASE}
for path in sorted((base / "input" / "data").glob("*/*")):
    print(path.parent.name, path.name, path.read_text())
(base / "checkpoints" / "one").touch()
"""
PATIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("test:accuracy=0.25;", flush=True), sys.exit(0)))
print("started", flush=True)
time.sleep(60)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(60)
"""

SAVING = f"""
{BASE}
import signal, time
saved = base / "checkpoints" / "saved"
signal.signal(signal.SIGTERM, lambda *_: (saved.touch(), sys.exit(0)))
(base / "checkpoints" / "started").touch()
time.sleep(60)
"""
OWNER = """
import pathlib, sys, runners
folder = pathlib.Path(sys.argv[2])
runner = getattr(runners, sys.argv[1])(folder)
runners.run_script(runner, sys.argv[3], runners.spec_for(folder))
"""


@pytest.fixture(params=["process", pytest.param("container", marks=pytest.mark.container)])
def runner(request, tmp_path):
    """Each of the runners, its runs below tmp_path."""
    if request.param == "process":
        return process_runner(tmp_path)
    build_images()
    return container_runner(tmp_path)


@pytest.fixture
def run(runner, tmp_path):
    """Run a script as the job's command; returns (result, what was shown)."""

    def start(script, max_run_seconds=60, grace_seconds=10.0, **channels):
        spec = spec_for(tmp_path, max_run_seconds, **channels)
        return run_script(runner, script, spec, grace_seconds)

    return start


def test_a_job_that_exits_with_0_is_completed(run):
    result, _ = run(GOOD)
    assert (result.status, result.failure_reason) == ("Completed", None)
    assert (result.model_dir / "bundle.json").is_file()


def test_the_last_value_of_each_metric_is_the_result(run):
    result, _ = run(GOOD)
    assert result.metrics == {"validation:accuracy": 0.75}
    assert read_run(result.folder).metrics == {"validation:accuracy": 0.75}


def test_stdout_is_shown_and_both_streams_are_in_the_log(run):
    result, shown = run(GOOD)
    log = (result.folder / "train.log").read_text().splitlines()
    assert "validation:accuracy=0.5;" in shown.splitlines()
    assert "a warning" not in shown
    assert {"validation:accuracy=0.5;", "a warning", "this is dogs"} <= set(log)


def test_the_run_folder_reads_back_as_the_job(run):
    result, _ = run(GOOD)
    job = read_job(result.folder, {"TRAINING_JOB_NAME": "dogs"})
    assert job.hyperparameters.values.epochs == 3
    assert (job.channels["train"].path / "a.png").read_bytes() == b"png"


def test_every_run_gets_a_folder_of_its_own(run):
    folders = [run("pass")[0].folder.name for _ in range(2)]
    assert folders == ["0001-dogs", "0002-dogs"]


def test_channels_are_folders_also_of_a_single_file_with_an_odd_name(run, tmp_path):
    weights = tmp_path / 'a "net", of: mine.pth'
    weights.write_bytes(b"weights")
    result, shown = run(READING, pretrained=weights)
    assert {"train a.png png", f"pretrained {weights.name} weights"} <= set(shown.splitlines())
    channel = result.folder / "input" / "data" / "pretrained"
    assert (channel / weights.name).read_bytes() == b"weights"


def test_what_the_job_leaves_belongs_to_the_caller(run):
    result, _ = run(READING)
    assert (result.folder / "checkpoints" / "one").is_file()
    assert {path.lstat().st_uid for path in result.folder.rglob("*")} == {os.getuid()}


def test_a_failed_job_says_what_it_wrote_to_its_failure_file(run):
    result, _ = run(BAD)
    assert (result.status, result.failure_reason) == ("Failed", "no pictures in channel 'train'")
    assert read_run(result.folder).failure_reason == "no pictures in channel 'train'"


def test_a_job_that_left_no_reason_points_to_its_log(run):
    result, _ = run("raise SystemExit(7)")
    assert result.failure_reason == (
        f"train exited with 7 and left no reason: see the end of {result.folder}/train.log"
    )


def test_the_time_limit_stops_a_job_and_keeps_what_it_saved(run):
    result, _ = run(PATIENT, max_run_seconds=2)
    assert result.status == "Stopped"
    assert "max_run_seconds" in result.failure_reason
    assert result.metrics == {"test:accuracy": 0.25}


def test_a_deaf_job_is_killed_after_its_grace(run):
    result, _ = run(DEAF, max_run_seconds=2, grace_seconds=0.3)
    assert result.status == "Stopped"


def test_ctrl_c_stops_the_job_politely(run):
    with _ctrl_c_after(2.0):
        result, _ = run(PATIENT)
    assert result.status == "Stopped"
    assert result.failure_reason.startswith("stopped by a signal")
    assert result.metrics == {"test:accuracy": 0.25}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel does this")
def test_a_job_is_told_to_end_when_we_are_killed(runner, tmp_path):
    here = Path(__file__).resolve().parent
    kind = "process_runner" if isinstance(runner, ProcessRunner) else "container_runner"
    command = [sys.executable, "-c", OWNER, kind, str(tmp_path), SAVING]
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    checkpoints = tmp_path / "runs" / "0001-dogs" / "checkpoints"
    with subprocess.Popen(command, env=environment) as owner:
        assert _appears(checkpoints / "started")
        owner.kill()
    assert _appears(checkpoints / "saved")
    if kind == "container_runner":
        remove_left(checkpoints.parent)


def _appears(path, patience_seconds=20.0):
    deadline = time.monotonic() + patience_seconds
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return path.exists()


@contextlib.contextmanager
def _ctrl_c_after(seconds):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    yield
    timer.join()

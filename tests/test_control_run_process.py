"""The process runner: real child processes that stand in for a long training."""

import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from contract.opt_ml import read_job
from control.job_spec import JobSpec
from control.run_process import ProcessRunner
from control.runs import read_run

GOOD = """
import os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
(base / "model" / "bundle.json").write_text("{}")
print("validation:accuracy=0.5;")
print("validation:accuracy=0.75;")
print("a warning", file=sys.stderr)
print(os.environ["TRAINING_JOB_NAME"], os.environ["PYTHONSAFEPATH"], os.environ["PYTHONPATH"])
"""
BAD = """
import os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
(base / "output" / "failure").write_text("no pictures in channel 'train'\\n")
sys.exit(2)
"""
PATIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("test:accuracy=0.25;", flush=True), sys.exit(0)))
print("started", flush=True)
time.sleep(60)
"""
DEAF = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def run(tmp_path):
    """Run a script as the job's command; returns (result, what was shown)."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"png")

    def start(script, max_run_seconds=60, grace_seconds=10.0, **channels):
        shown = io.StringIO()
        spec = JobSpec(
            name="dogs",
            hyperparameters={"epochs": "3"},
            channels={"train": pictures, **channels},
            max_run_seconds=max_run_seconds,
        )
        runner = ProcessRunner(
            runs=tmp_path / "runs",
            command=(sys.executable, "-c", script),
            echo=shown,
            grace_seconds=grace_seconds,
        )
        return runner.run(spec), shown

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
    log = (result.folder / "train.log").read_text()
    assert "validation:accuracy=0.5;" in shown.getvalue()
    assert "validation:accuracy=0.5;" in log
    assert "a warning" in log


def test_the_child_finds_our_rooms_and_no_stray_ones(run):
    result, _ = run(GOOD)
    root = Path(__file__).resolve().parents[1]
    assert f"dogs 1 {root}" in (result.folder / "train.log").read_text()


def test_the_run_folder_reads_back_as_the_job(run):
    result, _ = run(GOOD)
    job = read_job(result.folder, {"TRAINING_JOB_NAME": "dogs"})
    assert job.hyperparameters.values.epochs == 3
    assert (job.channels["train"].path / "a.png").read_bytes() == b"png"


def test_every_run_gets_a_folder_of_its_own(run):
    folders = [run(GOOD)[0].folder.name for _ in range(2)]
    assert folders == ["0001-dogs", "0002-dogs"]


def test_a_single_file_becomes_a_channel_folder_that_holds_it(run, tmp_path):
    weights = tmp_path / "net.pth"
    weights.write_bytes(b"weights")
    result, _ = run(GOOD, pretrained=weights)
    channel = result.folder / "input" / "data" / "pretrained"
    assert (channel / "net.pth").read_bytes() == b"weights"


def test_a_failed_job_says_what_it_wrote_to_its_failure_file(run):
    result, _ = run(BAD)
    assert (result.status, result.failure_reason) == ("Failed", "no pictures in channel 'train'")


def test_a_job_that_left_no_reason_points_to_its_log(run):
    result, _ = run("raise SystemExit(7)")
    assert result.failure_reason == (
        f"train exited with 7 and left no reason: see the end of {result.folder}/train.log"
    )


def test_a_killed_job_names_the_signal(run):
    result, _ = run("import os; os.kill(os.getpid(), 9)")
    assert "ended by SIGKILL: often the machine ran out of memory" in result.failure_reason


def test_the_time_limit_stops_a_job_and_keeps_what_it_saved(run):
    result, _ = run(PATIENT, max_run_seconds=1)
    assert result.status == "Stopped"
    assert "max_run_seconds" in result.failure_reason
    assert result.metrics == {"test:accuracy": 0.25}


def test_a_deaf_job_is_killed_with_its_children(run):
    result, shown = run(DEAF, max_run_seconds=1, grace_seconds=0.3)
    assert result.status == "Stopped"
    child = int(shown.getvalue().split("child ")[1].split()[0])
    assert not _is_running(child)


def test_ctrl_c_stops_the_job_politely(run):
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    result, _ = run(PATIENT)
    assert result.status == "Stopped"
    assert result.failure_reason.startswith("stopped by a signal")


def test_a_plan_touches_no_disk_and_says_the_whole_command(tmp_path):
    (tmp_path / "a.png").touch()
    spec = JobSpec(name="dogs", channels={"train": tmp_path})
    plan = ProcessRunner(runs=tmp_path / "runs").plan(spec)
    assert plan.command == (sys.executable, "-m", "train")
    assert plan.environment["SAGEMAKER_BASE_DIR"] == str(tmp_path / "runs" / "NNNN-dogs")
    assert json.loads(json.dumps(plan.to_json()))["channels"] == {"train": str(tmp_path)}
    assert not (tmp_path / "runs").exists()


def _is_running(pid, patience_seconds=5.0):
    """False once a process is gone or only waits to be reaped."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True

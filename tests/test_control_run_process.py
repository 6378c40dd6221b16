"""What only the process runner does; what all runners promise is in test_control_runner.py."""

import json
import sys
import time
from pathlib import Path

from runners import process_runner, run_script, spec_for

from control.run_process import ProcessRunner

DEAF_PARENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid, flush=True)
time.sleep(60)
"""


def test_the_child_finds_our_rooms_and_no_stray_ones(tmp_path):
    script = 'import os; print(os.environ["PYTHONSAFEPATH"], os.environ["PYTHONPATH"])'
    _, shown = run_script(process_runner(tmp_path), script, spec_for(tmp_path))
    assert f"1 {Path(__file__).resolve().parents[1]}" in shown


def test_a_killed_job_names_the_signal(tmp_path):
    script = "import os; os.kill(os.getpid(), 9)"
    result, _ = run_script(process_runner(tmp_path), script, spec_for(tmp_path))
    assert "ended by SIGKILL: often the machine ran out of memory" in result.failure_reason


def test_a_deaf_job_is_killed_with_its_children(tmp_path):
    spec = spec_for(tmp_path, max_run_seconds=1)
    result, shown = run_script(process_runner(tmp_path), DEAF_PARENT, spec, grace_seconds=0.3)
    assert result.status == "Stopped"
    assert not _is_running(int(shown.split("child ")[1].split()[0]))


def test_a_plan_touches_no_disk_and_says_the_whole_command(tmp_path):
    plan = ProcessRunner(runs=tmp_path / "runs").plan(spec_for(tmp_path))
    assert plan.command == (sys.executable, "-m", "train")
    assert plan.environment["SAGEMAKER_BASE_DIR"] == str(tmp_path / "runs" / "NNNN-dogs")
    channels = json.loads(json.dumps(plan.to_json()))["channels"]
    assert channels == {"train": str(tmp_path / "pictures")}
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

"""Jobs that are measured and fail, are told to stop or killed: their profiles are whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from profiled import (
    STEPS,
    all_events,
    assert_complete,
    await_end,
    lay_out_profiled,
    of_phase,
    place_of,
    run_profiled,
    ticks_of,
)
from profiles import TRAIN
from training import REPOSITORY, WAIT_SECONDS, failure


def test_a_job_that_fails_leaves_a_whole_profile(pictures, tmp_path):
    changes = {"unfreeze": "all", "lr": "9.9", "optimizer": "sgd", "epochs": "5"}
    code, output = run_profiled(lay_out_profiled(tmp_path, pictures, **changes))
    assert code == 2, output
    assert "training diverged" in failure(tmp_path / "output")
    assert_complete(place_of(tmp_path))
    assert of_phase(all_events(place_of(tmp_path)), TRAIN)


def start(base: Path) -> "subprocess.Popen[str]":
    """The job, under way."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("SAGEMAKER")}
    own = {"PYTHONPATH": str(REPOSITORY), "SAGEMAKER_BASE_DIR": str(base), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "train"],
        env={**clean, **own},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def command_of(pid: int) -> str:
    """The words of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_is_ended_leaves_a_whole_profile(pictures, tmp_path, number):
    changes = {"epochs": "9999", "early_stopping_patience": "0"}
    base = lay_out_profiled(tmp_path, pictures, **changes)
    with start(base) as job:
        assert job.stdout is not None
        # A killed process loses its last second, so it has to have had more than one.
        framework = place_of(base).folder / "framework"
        while not any(path.stat().st_size for path in framework.rglob("*.tmp")):
            assert job.stdout.readline()
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        (agent,) = [pid for pid in children if "host_agent" in command_of(int(pid))]
        job.send_signal(number)
        job.communicate(timeout=WAIT_SECONDS)
    await_end(int(agent))
    assert_complete(place_of(base))
    events = all_events(place_of(base))
    assert min(ticks_of(place_of(base))) < events[0].start_us / 1e6  # before pictures are read
    steps = of_phase(events, TRAIN)
    assert [event.step for event in steps] == list(range(len(steps)))
    assert len(steps) >= STEPS or number == signal.SIGKILL  # its last second may be lost

"""What `kennel list` says of a run whose `kennel` was killed: what its job is doing, or left."""

import contextlib
import io
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tuning import spec_of, three_trials, write_search, write_study_run

from contract.errors import UsageError
from control.cli import main
from control.orphan import Process
from control.runs import Run, make_run_folder, read_run, settle_run, stored_run, write_run
from control.study_runs import await_orphan, study_of
from control.tuning_file import read_tuning

ROOT = Path(__file__).resolve().parents[1]
OWNER = """
import sys
from pathlib import Path
from runners import process_runner, run_script, spec_for
run_script(process_runner(Path(".")), sys.argv[1], spec_for(Path(".")))
"""
# Told to end, it does so when the file `go` is there.
JOB = """
import os, pathlib, signal, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
def end(*_):
    while not (base / "go").exists():
        time.sleep(0.02)
    LEAVE
    os._exit(0)
signal.signal(signal.SIGTERM, end)
(base / "ready").touch()
time.sleep(60)
"""
MODEL = """
    from contract.files import write_json
    from contract.manifest import Manifest, Preprocess, Probe
    manifest = Manifest(arch="resnet18", labels=("a", "b"), metrics={"test:accuracy": 0.25},
        preprocess=Preprocess(resize_px=8, crop_px=8), probe=Probe(probabilities=(0.5, 0.5)),
        files={})
    write_json(base / "model" / "bundle.json", manifest.to_json())
"""
FAILURE = '(base / "output" / "failure").write_text("the disk\\nis full")'


def await_true(is_so):
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def here(tmp_path):
    with contextlib.chdir(tmp_path):
        yield tmp_path


@pytest.fixture
def search(here):
    """There is a search.toml and what it needs."""
    write_search(here)
    return here


def listed(capsys):
    """The status that `kennel list` shows of the only run."""
    assert main(["list"]) == 0
    return capsys.readouterr().out.splitlines()[1].split()[1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the job does not hear of it")
@pytest.mark.parametrize(
    ("leave", "status", "reason"),
    [
        (MODEL, "Stopped", "ended without writing a result; its job saved a model and ended"),
        (FAILURE, "Failed", "the disk is full"),
        ("pass", "Failed", "ended without writing a result, and so did its job"),
    ],
    ids=["model", "failure", "nothing"],
)
def test_a_job_without_its_kennel_is_stopping_then_what_it_left(
    here, capsys, leave, status, reason
):
    folder = here / "runs" / "0001-dogs"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, JOB.replace("LEAVE", leave)],
        env={**os.environ, "PYTHONPATH": path},
    ) as owner:
        await_true((folder / "ready").exists)
        assert listed(capsys) == "InProgress"
        owner.kill()
    assert listed(capsys) == "Stopping"
    assert f"kennel (process {owner.pid})" in read_run(folder).failure_reason
    (folder / "go").touch()
    await_true(lambda: read_run(folder).status != "Stopping")
    assert listed(capsys) == status
    assert reason in read_run(folder).failure_reason
    assert read_run(folder).metrics == ({"test:accuracy": 0.25} if leave == MODEL else {})


def dead_pid():
    """The number of a process that has just ended."""
    pid = os.posix_spawnp("true", ["true"], {"PATH": os.defpath})
    os.waitpid(pid, 0)
    return pid


@pytest.mark.parametrize(
    ("of_study", "status", "reason"),
    [
        ({"status": "Completed"}, "Completed", None),
        ({"status": "Stopped", "reason": "told to stop"}, "Stopped", "its study ended: told to"),
        ({"status": "Failed", "reason": "no pictures"}, "Failed", "its study ended: no pictures"),
        ({"status": "InProgress"}, "Failed", "the same command continues it"),
    ],
    ids=lambda value: value["status"] if isinstance(value, dict) else None,
)
def test_a_study_without_its_kennel_is_what_it_says_itself(here, capsys, of_study, status, reason):
    study = three_trials(spec_of(), **of_study)
    folder = write_study_run(here / "runs", study, status="InProgress", pid=dead_pid())
    assert listed(capsys) == status
    run = read_run(folder)
    assert run.failure_reason is None if reason is None else reason in run.failure_reason
    assert (run.metrics, run.seconds) == (study.best_trial.metrics, 65.0)


def leave_orphan(here, job, **of_study):
    """A study's run whose kennel is gone and whose job is still there."""
    tuning = read_tuning(here / "search.toml")
    study = three_trials(tuning.spec, **of_study)
    folder = write_study_run(here / "runs", study, channels=tuning.channels)
    write_run(replace(stored_run(folder), status="InProgress", pid=dead_pid(), jobs=[[job.pid]]))
    return folder


def test_a_study_waits_for_the_job_of_a_killed_kennel_and_may_find_it_done(search, capsys):
    with subprocess.Popen(["sleep", "4"]) as job:
        folder = leave_orphan(search, job)
        assert main(["tune", "search.toml"]) == 0
    shown = capsys.readouterr().out
    assert f"its job (process {job.pid}) saves what it has and ends" in shown
    assert "nothing was run: this study has ended" in shown
    assert stored_run(folder).status == "Completed"


def test_a_job_that_does_not_end_is_left_alone_and_named(search):
    with subprocess.Popen(["sleep", "60"]) as job:
        folder = leave_orphan(search, job, status="InProgress")
        before = (folder / "run.json").read_bytes()
        with pytest.raises(UsageError, match=f"process {job.pid}.*wait for its end"):
            await_orphan(study_of(read_run(folder)), io.StringIO(), patience_seconds=0.2)
        job.kill()
    assert (folder / "run.json").read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells when it began")
def test_a_process_that_has_taken_a_number_is_not_the_one_that_had_it():
    with subprocess.Popen(["sleep", "60"]) as process:
        now = Process.of(process.pid)
        assert now.is_alive
        assert not Process(process.pid, now.born - 1).is_alive
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is not buried yet
        assert not now.is_alive


def test_what_became_of_a_run_is_written_down_once_it_is_for_good(here):
    folder = make_run_folder(here / "runs", "dogs")
    pid = dead_pid()
    write_run(Run(name="dogs", folder=folder, pid=pid, jobs=[[os.getppid()]]))
    settle_run(read_run(folder))
    assert stored_run(folder).status == "InProgress"
    write_run(Run(name="dogs", folder=folder, pid=pid))
    settle_run(read_run(folder))
    assert stored_run(folder).status == "Failed"

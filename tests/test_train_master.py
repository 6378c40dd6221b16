"""Disturbed studies: killed masters and workers, time that is over, weights that are gone."""

import os
import resource
import shutil
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from masters import WEIGHTS, await_epochs, await_true, result_of
from studies import spec_of, study_flags
from training import failure, job_for, run_job

from classifier.bundle import read_bundle
from contract.study import STORAGE_NAME
from train.crew import Crew
from train.kept import has_kept
from train.master import Master
from train.orders import channels_to_json
from train.stop import Stop
from train.storage import Place
from train.study import OpenStudy

MEMORY_BYTES = 5 * 2**30  # of addresses: torch alone takes two, these networks more than five
# Trials of a second or so: long enough to be disturbed in.
EPOCHS = {"epochs": "120", "early-stopping-patience": "0"}
ONE = {"strategy": "Grid", "max_jobs": None, "ranges": {"lr": [0.01]}}
TWO = {"strategy": "Grid", "max_jobs": None, "ranges": {"lr": [0.01, 0.02]}}


def is_gone(process):
    """Ended, and buried by whoever has to."""
    with suppress(FileNotFoundError):
        return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
    return True


def rows_of(folder):
    """How many epochs the best trial's own files tell of."""
    return len((folder / "output" / "best" / "metrics.jsonl").read_text().splitlines())


def test_after_kill_9_workers_end_and_the_same_command_continues(start_master, pictures, tmp_path):
    words = study_flags(pictures, tmp_path, TWO, **EPOCHS)
    first = start_master(words)
    first.wait_for("trial 1/2")
    workers = first.workers()
    first.process.send_signal(signal.SIGSTOP)  # it shall not end meanwhile
    second = start_master(words)
    assert second.wait() == 1
    assert f"another process (number {first.process.pid}) works on this study" in second.output
    first.process.kill()
    await_true(lambda: all(map(is_gone, workers)))
    third = start_master(words)
    assert third.wait() == 0, third.output
    study = result_of(tmp_path)
    assert [one.status for one in study.trials] == ["Completed"] * 2
    assert (study.status, study.bundle) == ("Completed", "model")


def test_a_study_is_not_finished_before_its_bundle_is(start_master, pictures, tmp_path):
    words = study_flags(pictures, tmp_path, ONE)
    first = start_master(words)
    first.wait_for("finish trial 1")
    workers = first.workers()
    first.process.kill()
    await_true(lambda: all(map(is_gone, workers)))
    assert result_of(tmp_path).status == "InProgress"
    shutil.rmtree(tmp_path / "model")
    second = start_master(words)
    await_true(lambda: result_of(tmp_path).bundle is not None)
    assert read_bundle(tmp_path / "model").manifest.labels
    assert second.wait() == 0, second.output
    assert result_of(tmp_path).status == "Completed"


def test_a_winner_whose_weights_are_gone_is_trained_again_to_the_same_bits(
    start_master, pictures, tmp_path
):
    spec = {"strategy": "Hyperband", "max_jobs": 1, "max_resource": 3}
    words = study_flags(pictures, tmp_path, spec, epochs="9")
    assert run_job(words)[0] == 0
    weights = (tmp_path / "model" / WEIGHTS).read_bytes()
    shutil.rmtree(tmp_path / "checkpoints" / "best")
    again = start_master(words)
    assert again.wait() == 0, again.output
    assert "it is trained again" in again.output
    assert (tmp_path / "model" / WEIGHTS).read_bytes() == weights
    assert rows_of(tmp_path) == len(result_of(tmp_path).trials[0].curves) == 3
    assert not (tmp_path / "checkpoints" / "trials" / "0001").exists()
    assert has_kept(tmp_path / "checkpoints" / "best" / "0001", 3)


def test_a_worker_that_is_told_to_stop_costs_one_trial(start_master, pictures, tmp_path):
    spec = {"strategy": "Grid", "max_jobs": None, "ranges": {"lr": [0.01, 0.02, 0.03]}}
    master = start_master(study_flags(pictures, tmp_path, spec, **EPOCHS))
    await_epochs(tmp_path)
    os.kill(master.workers()[0], signal.SIGTERM)
    assert master.wait() == 0, master.output
    trials = result_of(tmp_path).trials
    failed = [one for one in trials if one.status == "Failed"]
    assert len(failed) <= 1  # it may have been between two trials
    assert all("by a signal to its process" in one.reason for one in failed)
    assert sum(one.status == "Completed" for one in trials) == 3 - len(failed)


def test_two_workers_out_of_memory_at_a_time_cost_two_trials(start_master, pictures, tmp_path):
    ranges = {"image-size": [1023, 1024, 32]}
    spec = {"strategy": "Grid", "max_jobs": None, "ranges": ranges, "max_parallel_jobs": 2}
    words = study_flags(pictures, tmp_path, spec, unfreeze="all", epochs="1", batch_size="36")
    master = start_master(words)
    resource.prlimit(master.process.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    assert master.wait() == 0, master.output
    study = result_of(tmp_path)
    assert [one.status for one in study.trials] == ["Failed", "Failed", "Completed"]
    assert "memory" in study.trials[0].reason
    assert study.bundle == "model"


def test_a_trial_worse_than_the_median_is_stopped(pictures, tmp_path):
    ranges = {"lr": [0.01, 0.0101, 0.0102, 0.0103, 0.0104, 1e-6]}
    spec = {"strategy": "Grid", "max_jobs": None, "ranges": ranges, "early_stopping": "Auto"}
    code, output = run_job(study_flags(pictures, tmp_path, spec, epochs="10"))
    assert code == 0, output
    trials = result_of(tmp_path).trials
    assert [one.status for one in trials] == ["Completed"] * 5 + ["Stopped"]
    assert len(trials[5].curves) < 10
    assert "not promising" in trials[5].reason


@pytest.fixture(scope="module")
def reached(pictures, tmp_path_factory):
    """A study whose first trial was good enough."""
    out = tmp_path_factory.mktemp("reached")
    code, output = run_job(study_flags(pictures, out, {"target_objective": 100}))
    assert code == 0, output
    return out


def test_a_study_ends_when_a_trial_reaches_the_target(reached):
    study = result_of(reached)
    assert (study.status, study.num_finished, study.bundle) == ("Completed", 1, "model")
    assert "the target was reached" in study.reason


def test_a_study_learns_from_the_trials_of_another(reached, pictures, tmp_path):
    warm = {"warm_start": {"parents": [str(reached / "output")]}, "max_jobs": 1}
    code, output = run_job(study_flags(pictures, tmp_path, warm))
    assert code == 0, output
    study, parent = result_of(tmp_path), result_of(reached)
    assert (study.warm_trials, study.num_finished) == (1, 1)
    url = f"sqlite:///{tmp_path / 'checkpoints' / STORAGE_NAME}"
    known = optuna.load_study(study_name="tiny", storage=url).trials
    assert [one.value for one in known] == [
        parent.trials[0].objective,
        study.trials[0].objective,
    ]


def test_what_was_missing_around_the_trials_costs_none_of_them(pictures, tmp_path):
    own = tmp_path / "pictures"
    shutil.copytree(pictures, own, ignore=shutil.ignore_patterns("validation"))
    (own / "validation").mkdir()
    words = study_flags(own, tmp_path, ONE)
    assert run_job(words)[0] == 2
    assert "validation" in failure(tmp_path / "output")
    assert result_of(tmp_path).num_finished == 0
    shutil.copytree(pictures / "validation", own / "validation", dirs_exist_ok=True)
    code, output = run_job(words)
    assert code == 0, output
    assert result_of(tmp_path).trials[0].status == "Completed"


def run_out_of_time(job, work_dir):
    """A session that begins four seconds before the study's time is over; its trial is endless."""
    static = {name: str(job.hyperparameters.values.to_strings()[name]) for name in
              sorted(job.hyperparameters.given - {"lr"})}  # fmt: skip
    spec = spec_of(**ONE, static=static, max_runtime_seconds=120)
    study = OpenStudy(spec, Place.of_file(work_dir / STORAGE_NAME))
    study.begin({})
    study.set_seconds(116.0)
    crew = Crew(1, {"channels": channels_to_json(job.channels)}, work_dir)
    try:
        crew.fill(1)
        await_true(lambda: any(message for _, message in crew.hear(1.0)))
        crew.hands[0].is_ready = True
        Master(job, study, crew, Stop(), work_dir).run()
    finally:
        crew.end()
    return spec


@pytest.mark.parametrize("has_checkpoints", [True, False])
def test_when_time_is_over_before_a_trial_completed_its_model_is_kept_as_it_is(
    pictures, tmp_path, has_checkpoints
):
    job = job_for(pictures, tmp_path, epochs="100000", early_stopping_patience="0")
    folder = tmp_path / "checkpoints" if has_checkpoints else None
    job = replace(job, outputs=replace(job.outputs, checkpoint_dir=folder))
    (tmp_path / "work").mkdir()
    spec = run_out_of_time(job, tmp_path / "work")
    study = result_of(tmp_path)
    [trial] = study.trials
    assert (study.status, study.best, study.bundle) == ("Stopped", None, "model")
    assert f"trial 1 as it stood after {len(trial.curves)} epochs" in study.reason
    assert rows_of(tmp_path) == len(trial.curves) > 1
    assert trial.status == ("InProgress" if has_checkpoints else "Stopped")
    if folder is not None:  # more time: it goes on
        more = OpenStudy(replace(spec, max_runtime_seconds=240), Place.of_file(folder / "study.db"))
        assert more.claim("here").number == 1
        assert (folder / "trials" / "0001" / "checkpoint.safetensors").is_file()

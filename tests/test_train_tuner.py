"""Studies from end to end: a job's own process, its workers, and what they leave."""

import csv
import json
import os
import signal

import pytest
from masters import WEIGHTS, Master, await_epochs, result_of
from postgres import postgres_server
from studies import study_flags
from training import failure, flags, metric_lines, run_job

from classifier.bundle import read_bundle
from contract.host import cpu_limit
from contract.ranges import text_of
from contract.study import STORAGE_NAME
from contract.tuning import STORAGE_VARIABLE
from train.crew import describe_end, share_cpus, visible_gpus
from train.storage import Place
from train.study import OpenStudy

# Trials of a second or so: long enough to be stopped in.
EPOCHS = {"epochs": "120", "early-stopping-patience": "0"}


def output_of(out):
    return out / "output"


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    """A study that nobody disturbed, and what it said."""
    out = tmp_path_factory.mktemp("whole")
    master = Master(study_flags(pictures, out, {}, **EPOCHS))
    try:
        assert master.wait() == 0, master.output
    finally:
        master.end()
    return out, master.output


def separate_job(pictures, out, trial):
    """The same hyperparameters without a study."""
    texts = {name: text_of(value) for name, value in trial.hyperparameters.items()}
    job = flags(pictures, out, objective="validation:loss", **{**EPOCHS, **texts})
    code, output = run_job(job)
    assert code == 0, output
    return output


def exact(metrics):
    """Without what depends on the clock."""
    return {name: value for name, value in metrics.items() if "second" not in name}


def test_a_trial_computes_what_a_job_of_its_own_does_to_the_bit(whole, pictures, tmp_path):
    out, _ = whole
    study = result_of(out)
    best = study.best_trial
    separate_job(pictures, tmp_path, best)
    ours, theirs = out / "model" / WEIGHTS, tmp_path / "model" / WEIGHTS
    assert ours.read_bytes() == theirs.read_bytes()
    rows = [
        json.loads(line) for line in (tmp_path / "output/metrics.jsonl").read_text().splitlines()
    ]
    assert [exact(row) for row in best.curves] == [exact(row) for row in rows]
    assert read_bundle(out / "model").manifest.metrics["validation:loss"] == best.objective


def test_a_trial_counts_by_its_best_epoch(whole):
    for trial in result_of(whole[0]).trials:
        assert trial.objective == min(row["validation:loss"] for row in trial.curves)


def test_a_study_leaves_the_bundle_of_its_best_and_files_about_all(whole):
    out, _ = whole
    study, output = result_of(out), output_of(out)
    assert (study.status, study.num_finished, study.bundle) == ("Completed", 4, "model")
    assert study.best_trial.objective == min(trial.objective for trial in study.trials)
    with (output / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["objective"]) for row in rows] == [one.objective for one in study.trials]
    assert "<html" in (output / "report.html").read_text()
    for name in ("report.html", "config.json", "metrics.csv"):
        assert (output / "best" / name).is_file()


def test_metrics_are_logged_with_their_trials_and_the_best_come_last(whole):
    out, output = whole
    study = result_of(out)
    for trial in study.trials:
        lines = "\n".join(x for x in output.splitlines() if x.startswith(f"trial {trial.number}:"))
        said = dict(metric_lines(lines))
        assert said["validation:loss"] == pytest.approx(trial.objective, abs=1e-6)
    last = dict(metric_lines(output))
    assert last["validation:loss"] == pytest.approx(study.best_trial.objective, abs=1e-6)
    assert [name for name, _ in metric_lines(output)][-1] == "test:accuracy"
    sentence = next(line for line in output.splitlines() if line.startswith("trial 1/4"))
    assert metric_lines(sentence) == []


def test_a_study_that_is_stopped_goes_on_to_the_same_trials(
    whole, start_master, pictures, tmp_path
):
    words = study_flags(pictures, tmp_path, {}, **EPOCHS)
    first = start_master(words)
    first.wait_for("trial 2/4")
    first.process.send_signal(signal.SIGTERM)
    assert first.wait() == 0, first.output
    stopped = result_of(tmp_path)
    assert stopped.status == "Stopped"
    assert 2 <= sum(one.status == "Completed" for one in stopped.trials) < 4
    second = start_master(words)
    assert second.wait() == 0, second.output
    assert "trials are done" in second.output
    ours, theirs = result_of(tmp_path), result_of(whole[0])
    assert [one.hyperparameters for one in ours.trials] == [
        one.hyperparameters for one in theirs.trials
    ]
    assert [exact(one.metrics) for one in ours.trials] == [
        exact(one.metrics) for one in theirs.trials
    ]
    assert (ours.best, ours.status) == (theirs.best, "Completed")
    assert all(one.seconds >= sum(row["seconds"] for row in one.curves) for one in ours.trials)


def test_side_by_side_a_trial_computes_what_a_job_with_as_many_cpus_does(
    start_master, pictures, tmp_path
):
    spec = {"strategy": "Grid", "max_jobs": None, "ranges": {"lr": [0.01, 0.02]}}
    learning = {"unfreeze": "all", "epochs": "2"}
    more = {**spec, "max_parallel_jobs": 2}
    study = start_master(study_flags(pictures, tmp_path / "study", more, **learning))
    assert study.wait() == 0, study.output
    best = result_of(tmp_path / "study").best_trial
    shares = share_cpus(sorted(os.sched_getaffinity(0)), cpu_limit(), 2, 0)
    cpus = shares[int(best.worker.split()[-1]) - 1]
    changes = {**learning, "lr": text_of(best.hyperparameters["lr"])}
    words = flags(pictures, tmp_path / "job", objective="validation:loss", **changes)
    job = start_master(words)
    os.sched_setaffinity(job.process.pid, cpus)  # as `taskset -c`: torch is not there yet
    assert job.wait() == 0, job.output
    weights = [tmp_path / name / "model" / WEIGHTS for name in ("study", "job")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_when_all_trials_fail_the_job_fails_with_the_first_reason(pictures, tmp_path):
    spec = {"strategy": "Grid", "max_jobs": None, "ranges": {"num-classes": [8, 9]}}
    code, _ = run_job(study_flags(pictures, tmp_path, spec))
    assert code == 1
    assert "trial 1: hyperparameter 'num-classes'" in failure(output_of(tmp_path))
    assert result_of(tmp_path).status == "Failed"


def test_an_objective_of_test_without_test_pictures_ends_the_study_at_once(pictures, tmp_path):
    words = study_flags(pictures, tmp_path, {"objective": "average test loss"})
    place = words.index("--test")
    code, _ = run_job(words[:place] + words[place + 2 :])
    assert code == 2
    assert "give a channel test" in failure(output_of(tmp_path))
    study = result_of(tmp_path)
    assert (study.status, study.num_finished) == ("Failed", 0)  # its turn comes again
    assert "give a channel test" in study.trials[0].reason


def test_processes_that_train_together_are_refused_as_a_value_and_as_a_range(pictures, tmp_path):
    searched = {"ranges": {"processes-per-host": [1, 2]}, "max_jobs": 1}
    for words in (
        study_flags(pictures, tmp_path, searched),
        study_flags(pictures, tmp_path, {}, processes_per_host="2"),
    ):
        assert run_job(words)[0] == 2
        assert "max_parallel_jobs" in failure(output_of(tmp_path))


def test_hyperband_with_two_workers_stops_trials_and_judges_test(pictures, tmp_path):
    spec = {"strategy": "Hyperband", "max_jobs": 8, "max_parallel_jobs": 2}
    code, output = run_job(study_flags(pictures, tmp_path, spec, epochs="9"))
    assert code == 0, output
    study = result_of(tmp_path)
    lengths = {one.status: {len(each.curves) for each in study.trials} for one in study.trials}
    assert lengths.keys() == {"Completed", "Stopped"}
    assert all(len(one.curves) in (1, 3) for one in study.trials if one.status == "Stopped")
    assert len({one.worker for one in study.trials}) == 2


def test_the_time_of_earlier_sessions_counts(pictures, tmp_path):
    spec = {"max_runtime_seconds": 120}
    words = study_flags(pictures, tmp_path, spec)
    (tmp_path / "checkpoints").mkdir()
    given = json.loads(words[words.index("--kennel_tuning") + 1])
    from contract.hyperparameters import parse_hyperparameters
    from contract.tuning import TuningSpec

    static = {
        name.removeprefix("--"): text
        for name, text in zip(words[::2], words[1::2], strict=True)
        if name.removeprefix("--") in parse_hyperparameters({}).values.to_strings()
    }
    spec = TuningSpec.from_json({**given, "static": static})
    OpenStudy(spec, Place.of_file(tmp_path / "checkpoints" / STORAGE_NAME)).set_seconds(121.0)
    assert run_job(words)[0] == 1
    assert "max_runtime_seconds (120) are over" in failure(output_of(tmp_path))


@pytest.fixture(params=["file", "server"])
def shared_url(request, tmp_path):
    """A database for several hosts: one file, or one PostgreSQL server."""
    if request.param == "file":
        yield f"sqlite:///{tmp_path / 'shared.db'}"
        return
    with postgres_server() as url:
        yield url


def test_masters_share_a_study_and_a_killed_worker_costs_its_trial(
    shared_url, start_master, pictures, tmp_path
):
    ranges = {"batch-size": [8, 16], "num-classes": [0, 3, 9]}  # 9 is wrong: there are three
    spec = {"strategy": "Grid", "max_jobs": None, "ranges": ranges}
    outs = [tmp_path / name for name in ("a", "b")]
    masters = [
        start_master(study_flags(pictures, out, spec, **EPOCHS), **{STORAGE_VARIABLE: shared_url})
        for out in outs
    ]
    await_epochs(outs[0])
    os.kill(masters[0].workers()[0], signal.SIGKILL)
    for master in masters:
        assert master.wait() == 0, master.output
    a, b = map(result_of, outs)
    assert [exact(one.metrics) for one in a.trials] == [exact(one.metrics) for one in b.trials]
    reasons = [one.reason for one in a.trials if one.status == "Failed"]
    killed = [one for one in reasons if "killed by SIGKILL: often memory" in one]
    assert len(killed) <= 1  # it may have been between two trials
    assert sum("'num-classes': expected" in one for one in reasons) == 2
    assert [one.status for one in a.trials].count("Completed") == 4 - len(killed)
    weights = [(out / "model" / WEIGHTS).read_bytes() for out in outs]
    assert (a.best, weights[0]) == (b.best, weights[1])


def test_cpus_are_divided_evenly_and_each_worker_has_one():
    assert share_cpus([0, 1, 2, 3], 4, 2, 0) == [(0, 1), (2, 3)]
    assert share_cpus([0, 1, 2], 3, 2, 0) == [(0, 1), (2,)]
    assert share_cpus([4, 6], 2, 3, 0) == [(4,), (6,), (4,)]
    assert share_cpus([0, 1, 2, 3], 2, 1, 3) == [(3, 0)]  # a container's share of many
    assert share_cpus([], 4, 2, 0) == [(), ()]


def test_gpus_are_those_that_the_container_may_see(tmp_path):
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    assert visible_gpus({}, tmp_path) == ["0", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3, GPU-5"}, tmp_path) == ["3", "GPU-5"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert visible_gpus({}, tmp_path / "none") == []


def test_an_end_is_told_in_words():
    assert "SIGKILL: often memory" in describe_end(-9)
    assert describe_end(-11) == "its process was killed by SIGSEGV"
    assert describe_end(3) == "its process ended with exit code 3"

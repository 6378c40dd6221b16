"""A study that ran elsewhere gets what a study of here has: importances, its table, its page."""

import csv
import sys
from dataclasses import replace

import pytest
from studies import bowl, open_study, spec_of
from training import run_command

from contract.study import Study, read_study, write_study
from train.importances import importances_in
from train.record import Record

MODULE = [sys.executable, "-m", "train.study_report"]


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """What a study of here came to, and the importances that optuna's own study has."""
    study = open_study(tmp_path_factory.mktemp("study"), spec_of(max_jobs=12))
    while (found := study.claim("here")) is not None:
        study.finish(
            found, "Completed", bowl(dict(found.values)), Record(metrics={"train:loss": 1.0})
        )
    trials, known = study.trials(), study.importances()
    study.close()
    best = min(trials, key=lambda trial: trial.objective).number
    return Study(spec=study.spec, trials=trials, best=best, status="Completed", seconds=9.0), known


def test_importances_are_those_that_the_study_had_where_it_ran(local):
    study, known = local
    assert sum(known.values()) == pytest.approx(1.0)
    assert importances_in(study.trials, study.spec) == pytest.approx(known)


def test_trials_without_an_objective_or_outside_of_the_ranges_count_for_nothing(local):
    study, known = local
    strange = replace(study.trials[0], number=13, hyperparameters={"lr": 7.0, "batch-size": 8})
    failed = replace(study.trials[0], number=14, status="Failed", objective=None)
    more = (*study.trials, strange, failed, replace(failed, hyperparameters={}))
    assert importances_in(more, study.spec) == pytest.approx(known)


def test_few_trials_have_no_importances(local):
    study, _ = local
    assert importances_in(study.trials[:3], study.spec) == {}


def test_the_command_completes_the_folder(local, tmp_path):
    study, known = local
    write_study(tmp_path / "study.json", study)
    done = run_command([*MODULE, str(tmp_path), "--price-per-hour", "3600"])
    assert (done.returncode, done.stderr) == (0, "")
    completed = read_study(tmp_path / "study.json")
    assert completed.importances == pytest.approx(known)
    assert replace(completed, importances={}) == study
    page = (tmp_path / "report.html").read_text()
    assert f"Trial {study.best} is the best of 12" in page
    assert "Importance" in page
    assert "at $3600 an hour of one" in page
    with (tmp_path / "trials.csv").open(newline="") as file:
        assert [int(row["number"]) for row in csv.DictReader(file)] == list(range(1, 13))


def test_a_folder_without_a_study_is_one_line(tmp_path):
    done = run_command([*MODULE, str(tmp_path)])
    assert done.returncode == 2
    assert done.stderr.startswith("failed: ")
    assert done.stderr.count("\n") == 1

"""Studies are found among the runs: by name, by what they search, by having finished."""

import contextlib
import os
from dataclasses import replace

import pytest
from tuning import spec_of, three_trials, write_study_run

from contract.errors import UsageError
from contract.study import read_study
from control.runs import Run, make_run_folder, write_run
from control.study_runs import (
    best_of,
    find_parents,
    find_study,
    is_finished,
    same_study,
    write_parents,
)
from control.tuning_file import Tuning


@pytest.fixture
def runs(tmp_path):
    with contextlib.chdir(tmp_path):
        yield tmp_path / "runs"


def tuning_of(channels=None, **changes):
    return Tuning(spec=spec_of(**changes), channels=channels or {})


def test_the_best_is_that_of_the_newest_finished_study(runs):
    write_study_run(runs, three_trials(spec_of()))
    finished = write_study_run(runs, three_trials(spec_of(name="newer")))
    write_study_run(runs, three_trials(spec_of(), status="Stopped"), status="Stopped")
    found = find_study(runs, "best")
    trial, best = best_of(found)
    assert (found.run.folder, trial.number) == (finished, 1)
    assert best == {"lr": "0.012345678901234", "batch-size": "64"}


def test_what_chose_the_best_epoch_of_a_trial_comes_with_its_hyperparameters(runs):
    write_study_run(runs, three_trials(spec_of(objective="validation:loss")))
    assert best_of(find_study(runs, "best"))[1]["objective"] == "validation:loss"


def test_an_unfinished_study_can_be_named(runs):
    write_study_run(runs, three_trials(spec_of(), status="Stopped"), status="Stopped")
    assert best_of(find_study(runs, "1"))[0].number == 1
    with pytest.raises(UsageError, match=r"no study has finished yet; name one.*0001-dogs"):
        find_study(runs, "best")


def test_without_a_study_there_is_no_best(runs):
    folder = make_run_folder(runs, "plain")
    write_run(Run(name="plain", folder=folder, status="Completed"))
    with pytest.raises(UsageError, match=r"kennel tune TUNING\.toml"):
        find_study(runs, "best")
    with pytest.raises(UsageError, match="is a training job and no study"):
        find_study(runs, "plain")


def test_a_study_without_a_finished_trial_has_no_best(runs):
    write_study_run(runs, three_trials(spec_of(), best=None))
    with pytest.raises(UsageError, match="no trial of this study has come to an end"):
        best_of(find_study(runs, "1"))


def test_the_same_study_searches_the_same_on_the_same_channels(runs, tmp_path):
    channels = {"train": tmp_path}
    folder = write_study_run(runs, three_trials(spec_of()), channels=channels)
    assert same_study(runs, tuning_of(channels, max_jobs=50)).run.folder == folder
    assert same_study(runs, tuning_of({"train": runs})) is None
    assert same_study(runs, tuning_of(channels, seed=1)) is None
    assert same_study(runs, tuning_of(channels, name="other")) is None
    assert same_study(runs, tuning_of(channels, static={"epochs": "3"})) is None


def test_a_study_is_finished_until_its_budget_is_raised(runs):
    write_study_run(runs, three_trials(spec_of(max_jobs=3)))
    found = find_study(runs, "1")
    assert is_finished(found, spec_of(max_jobs=3))
    assert is_finished(found, spec_of(max_jobs=2))
    assert not is_finished(found, spec_of(max_jobs=4))


def test_a_study_whose_bundle_was_never_made_is_not_finished(runs):
    study = replace(three_trials(spec_of(max_jobs=3)), bundle="model")
    folder = write_study_run(runs, study)
    assert is_finished(find_study(runs, "1"), spec_of(max_jobs=3))
    (folder / "model").rmdir()
    assert not is_finished(find_study(runs, "1"), spec_of(max_jobs=3))


def test_a_damaged_study_hides_no_other(runs, tmp_path):
    good = write_study_run(runs, three_trials(spec_of()), channels={"train": tmp_path})
    damaged = write_study_run(runs, three_trials(spec_of()), channels={"train": tmp_path})
    (damaged / "output" / "data" / "study.json").write_text("{}")
    assert find_study(runs, "best").run.folder == good
    assert same_study(runs, tuning_of({"train": tmp_path})).run.folder == good


def test_a_study_that_was_stopped_is_not_finished(runs):
    write_study_run(runs, three_trials(spec_of(), status="Stopped"))
    assert not is_finished(find_study(runs, "1"), spec_of())


def test_a_running_study_is_known_by_its_process(runs):
    write_study_run(runs, three_trials(spec_of()), status="InProgress", pid=os.getppid())
    assert find_study(runs, "1").is_running
    # A container begins its numbers anew: the one that looks may have that of the one that died.
    write_study_run(runs, three_trials(spec_of()), status="InProgress", pid=os.getpid())
    assert not find_study(runs, "2").is_running


def test_parents_are_laid_beside_the_checkpoint(runs, tmp_path):
    parent = three_trials(spec_of(name="parent"))
    write_study_run(runs, parent)
    parents = find_parents(runs, tuning_of(warm_start={"parents": ["parent"]}))
    write_parents(tmp_path / "run", parents)
    path = tmp_path / "run" / "checkpoints" / "parents" / "0001-parent.json"
    assert read_study(path) == parent


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objective": "validation:loss"}, "has the objective Minimize test:loss"),
        ({"warm_start": {"parents": ["nobody"]}}, "no run is called 'nobody'"),
        ({"channels": {"train": os.curdir}}, 'take type "TransferLearning"'),
    ],
)
def test_a_parent_that_teaches_nothing_is_refused(runs, changes, says):
    write_study_run(runs, three_trials(spec_of(name="parent")))
    with pytest.raises(UsageError, match=says):
        find_parents(runs, tuning_of(**{"warm_start": {"parents": ["parent"]}, **changes}))

"""A study as people read it: the trials in columns, the best marked and with all its digits."""

import dataclasses
import shlex
from pathlib import Path

import pytest
from tuning import spec_of, three_trials

from contract.study import Trial
from control.runs import Run
from control.study_runs import StudyRun, best_of
from control.tuning_text import MOST_ROWS, search_lines, study_text, trial_table


def found_of(study, tmp_path, status="Completed", **more):
    return StudyRun(run=Run(name="dogs", folder=tmp_path, status=status, **more), study=study)


def test_the_table_marks_the_best_trial():
    header, *rows = trial_table(three_trials(spec_of())).splitlines()
    assert header.split() == ["trial", "lr", "batch-size", "test:loss", "status", "epochs", "took"]
    assert rows[0].split()[:4] == ["0", "0.05", "32", "1.25"]
    assert rows[1].split()[:5] == ["*", "1", "0.01235", "64", "0.75"]
    assert rows[2].split()[3:6] == ["-", "Failed", "-"]


def test_a_long_study_shows_its_best_trials(tmp_path):
    study = three_trials(spec_of())
    many = [
        dataclasses.replace(study.trials[0], number=number, objective=float(number))
        for number in range(MOST_ROWS + 15)
    ]
    long = dataclasses.replace(study, trials=tuple(many), best=0)
    numbers = [int(line.replace("*", "").split()[0]) for line in trial_table(long).splitlines()[1:]]
    assert numbers == list(range(MOST_ROWS))
    assert "(15 more are in the report)" in study_text(found_of(long, tmp_path))


def test_the_end_names_the_best_its_folder_and_the_next_command(tmp_path):
    shown = study_text(found_of(three_trials(spec_of()), tmp_path), tmp_path / "dogs.toml")
    assert "study dogs: Completed, 3 of 20 trials (1 failed) in 1 min 05 s" in shown
    assert "best:    trial 1, test:loss 0.7500, test:accuracy 0.6250" in shown
    assert "lr = 0.012345678901234" in shown
    assert "matters: lr 75%, batch-size 25%" in shown
    assert f"kennel serve {tmp_path}" in shown
    assert f"kennel run {tmp_path}/dogs.toml --from best" in shown


def test_the_next_command_has_the_channels_that_this_one_was_given(tmp_path):
    given = [("train", "my dogs/train"), ("pretrained", "w.pth")]
    shown = study_text(found_of(three_trials(spec_of()), tmp_path), Path("dogs.toml"), given)
    (line,) = [line for line in shown.splitlines() if "--from best" in line]
    words = shlex.split(line)
    assert words[-4:] == ["--channel", "train=my dogs/train", "--channel", "pretrained=w.pth"]


def test_a_study_that_was_stopped_says_how_to_go_on(tmp_path):
    study = three_trials(spec_of(), status="Stopped", bundle=None, reason="told to stop")
    shown = study_text(found_of(study, tmp_path, status="Stopped"))
    assert "Stopped, 3 of 20 trials (1 failed) in 1 min 05 s: told to stop" in shown
    assert "the same command again continues this study" in shown
    assert "kennel serve" not in shown


def test_a_study_that_never_began_says_why(tmp_path):
    shown = study_text(found_of(None, tmp_path, status="Failed", failure_reason="no pictures"))
    assert "study dogs: Failed, no trial yet: no pictures" in shown


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "study            dogs: Bayesian, 20 trials, one at a time"),
        ({}, "range            lr = 0.001 to 0.1, Logarithmic"),
        ({}, "range            batch-size = 32 | 64 | 128 | 256"),
        ({"max_runtime_seconds": 600}, "one at a time, 10 min 00 s at most"),
        (
            {"strategy": "Grid", "max_jobs": None, "ranges": {"lr": [0.1, 0.2], "views": [1, 4]}},
            "combinations     4",
        ),
        (
            {"strategy": "Hyperband", "objective": "validation:loss", "static": {"epochs": "9"}},
            "epochs of each   1 to 9",
        ),
        ({"target_objective": 0.5}, "completes when   test:loss <= 0.5"),
        ({"not_improving": 4}, "completes when   4 trials in a row bring no gain of 1%"),
        ({"warm_start": {"parents": ["a", "b"]}}, "warm start       from a, b (Identical"),
    ],
)
def test_the_plan_says_what_is_searched_and_how(changes, line):
    assert line in "\n".join(search_lines(spec_of(**changes)))


@pytest.mark.parametrize(("status", "word"), [("Stopped", "Waiting"), ("InProgress", "InProgress")])
def test_a_trial_that_was_interrupted_waits_for_the_next_session(status, word):
    study = three_trials(spec_of(), status=status)
    begun = dataclasses.replace(study.trials[2], status="InProgress")
    rows = trial_table(dataclasses.replace(study, trials=(begun,))).splitlines()
    assert word in rows[1]


def test_batch_size_auto_is_shown_as_a_word(tmp_path):
    spec = spec_of(ranges={"lr": {"min": 0.001, "max": 0.1}, "batch-size": ["auto", 32]})
    study = three_trials(spec)
    values = {"lr": 0.05, "batch-size": 0}
    trials = [dataclasses.replace(trial, hyperparameters=values) for trial in study.trials]
    study = dataclasses.replace(study, trials=tuple(trials))
    assert "range            batch-size = auto | 32" in search_lines(spec)
    assert trial_table(study).splitlines()[1].split()[:3] == ["0", "0.05", "auto"]
    assert "batch-size = auto" in study_text(found_of(study, tmp_path))
    assert best_of(found_of(study, tmp_path))[1]["batch-size"] == "auto"


def test_a_trial_whose_process_is_gone_waits():
    begun = Trial(number=1, status="InProgress", hyperparameters={"lr": 0.05, "batch-size": 32})
    study = dataclasses.replace(three_trials(spec_of(), status="InProgress"), trials=(begun,))
    assert "InProgress" in trial_table(study, is_running=True)
    assert "Waiting" in trial_table(study, is_running=False)

"""Training jobs of a tuning job read as trials; curves read back from what real training said."""

import csv
import random

import pytest
from training import flags, run_job
from tuning import HYPERBAND, spec_of
from tuning_jobs import curve_lines, described, moment, summary

from contract.study import Study
from control.aws.tuning.epoch_rows import epoch_rows
from control.aws.tuning.trials import Details, in_order, study_from, trial_of

SPEC = spec_of(objective="validation:loss", max_jobs=3)
TIMES = ("CreationTime", "TrainingStartTime", "TrainingEndTime", "LastModifiedTime")
TIMES += ("HyperParameterTuningEndTime",)


def heard(found):
    """As boto3 hands it on: times are datetimes."""
    return {
        key: moment(value - 1_790_000_000) if key in TIMES and value is not None else value
        for key, value in found.items()
    }


def trial(number, status="Completed", spec=SPEC, details=None, **more):
    return trial_of(
        number, heard(summary("dogs-1", number, status, **more)), spec, details or Details()
    )


def test_values_have_the_types_of_their_ranges():
    found = trial(2)
    assert found.hyperparameters == {"lr": 0.012345678901234, "batch-size": 64}
    assert [type(value) for value in found.hyperparameters.values()] == [float, int]


def test_a_trial_is_what_sagemaker_says_of_its_job():
    found = trial(2, details=Details(metrics={"validation:loss": 0.75}))
    assert (found.objective, found.status, found.seconds) == (0.75, "Completed", 200)
    assert found.worker == "dogs-1-002-0000abc2"
    assert found.started_at == moment(80).isoformat()
    assert found.metrics == {"validation:loss": 0.75}
    assert found.reason is None


@pytest.mark.parametrize(
    ("status", "changes", "says"),
    [
        ("Failed", {}, "no pictures, exit code: 2"),
        ("Failed", {"FailureReason": ""}, "SageMaker gives no reason"),
        ("Stopped", {"spec": spec_of(**HYPERBAND)}, "early: others were better by then"),
        ("Stopped", {}, "in AWS"),
        (
            "Stopped",
            {"details": Details(secondary="MaxRuntimeExceeded")},
            "max_run_seconds was over",
        ),
        ("Completed", {"ObjectiveStatus": "Failed"}, "its log had no validation:loss"),
    ],
)
def test_why_a_trial_is_no_ordinary_one(status, changes, says):
    assert says in trial(1, status, **changes).reason


def test_a_trial_whose_log_is_still_read_has_not_ended():
    waiting = {"ObjectiveStatus": "Pending", "FinalHyperParameterTuningJobObjectiveMetric": None}
    assert trial(1, **waiting).status == "InProgress"


def test_trials_are_numbered_as_they_were_begun():
    jobs = [heard(summary("dogs-1", number)) for number in (1, 2, 3)]
    shuffled = random.Random(0).sample(jobs, 3)
    assert in_order(shuffled) == jobs
    same_moment = [{**job, "CreationTime": moment(0)} for job in shuffled]
    assert [one["TrainingJobName"] for one in in_order(same_moment)] == [
        one["TrainingJobName"] for one in jobs
    ]


def test_the_best_is_sagemakers_and_ours_until_it_has_one():
    summaries = [summary("dogs-1", 1), summary("dogs-1", 2), summary("dogs-1", 3, "Failed")]
    trials = [trial(1), trial(2), trial(3, "Failed")]
    found = heard(described(summaries, "Completed"))
    study = study_from(found, trials, Study(spec=SPEC))
    assert (study.best, study.status, study.seconds) == (2, "Completed", 400)
    theirs = {**found, "BestTrainingJob": {"TrainingJobName": summaries[0]["TrainingJobName"]}}
    assert study_from(theirs, trials, Study(spec=SPEC)).best == 1
    assert study_from({**found, "BestTrainingJob": None}, trials, Study(spec=SPEC)).best == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"HyperParameterTuningJobStatus": "Stopped"}, "it was stopped in AWS"),
        ({"TuningJobCompletionDetails": {"ConvergenceDetectedTime": moment(1)}}, "no more gain"),
        ({}, "completion criterion"),
        ({"FailureReason": "the role"}, "the role"),
    ],
)
def test_why_a_study_has_fewer_trials(changes, says):
    found = {**heard(described([summary("dogs-1", 1)], "Completed")), **changes}
    assert says in study_from(found, [trial(1)], Study(spec=SPEC)).reason


def test_a_study_with_all_of_its_trials_needs_no_reason():
    trials = [trial(1), trial(2), trial(3, "Failed")]
    found = heard(described([], "Completed"))
    assert study_from(found, trials, Study(spec=SPEC)).reason is None


def test_the_result_is_no_epoch():
    assert epoch_rows(curve_lines(0.5)) == (
        {"epoch": 1, "validation:loss": 2.5},
        {"epoch": 2, "validation:loss": 0.5},
    )


def test_an_epoch_that_was_interrupted_counts_as_it_was_done_in_the_end():
    lines = ["epoch 1/2  x", "train:loss=9.0;", *curve_lines(0.5)]
    assert epoch_rows(lines)[0] == {"epoch": 1, "validation:loss": 2.5}


def test_lines_without_an_epoch_are_no_curve():
    assert epoch_rows(["validation:loss=1.0;", "hello", "epoch 1/2  loss 1"]) == ()


def test_curves_are_those_that_real_training_wrote(pictures, tmp_path):
    code, output = run_job(flags(pictures, tmp_path, epochs="3"))
    assert code == 0, output
    with (tmp_path / "output" / "metrics.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    rows = epoch_rows(output.splitlines())
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row, line in zip(rows, written, strict=True):
        for name in ("train:loss", "validation:loss", "validation:accuracy"):
            assert row[name] == pytest.approx(float(line[name]), abs=1e-6)

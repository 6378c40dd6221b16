"""`kennel tune --on aws` from its first line to its page, against moto over HTTP."""

import csv
import json
from dataclasses import replace

import pytest
from serving import picture
from training_jobs import (
    BUCKET,
    archive_of,
    bundle_archive,
    only_run,
    passing,
    put,
    run_json,
    same_name,
)
from tuning import write_study_run
from tuning_jobs import TuningJob, tuning_file

from contract.study import Study, read_study, write_study
from control.cli import main
from control.study_runs import study_path
from control.tuning_file import read_tuning

RUN = ("--on", "aws", "--yes")
WAIT_SECONDS = 60
ENDED = ("Completed", "Completed", "Failed")
LOOKS = (
    ("InProgress",),
    ("Completed", "InProgress"),
    ("Completed", "Completed", "InProgress"),
    ENDED,
)


@pytest.fixture
def here(tmp_path, monkeypatch, aws_here):
    """The current folder of somebody with an account; runs/ appears in it."""
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    monkeypatch.chdir(tmp_path)
    aws_here.forget()
    return tmp_path


def study_in(run):
    return read_study(study_path(run))


def test_a_study_is_made_followed_and_read_as_one_of_here(aws_here, here, capsys):
    TuningJob(aws_here, *LOOKS)
    assert main(["tune", str(tuning_file(here)), *RUN]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    # 3 trials, 2 at once, a day each at most: 36 h of 2 x $0.23.
    assert lines[0].startswith(
        "cost:    2 x ml.m5.xlarge, 3 trials of dogs: $0.460 an hour, at most 36 h"
    )
    assert "at most $16.56" in lines[0]
    trials = [line for line in lines if line.startswith("trial ") and "/3" in line]
    assert trials == [
        "trial 1/3  validation:loss 1.25  the best so far  lr 0.05, batch-size 32  100.0 s",
        "trial 2/3  validation:loss 0.75  the best so far  lr 0.01235, batch-size 64  200.0 s",
        "trial 3/3  failed: AlgorithmError: no pictures, exit code: 2  best 0.75 (trial 2)"
        "  lr 0.1, batch-size 32  300.0 s",
    ]
    assert "aws:     InProgress, 1 completed, 1 under way of 3 after" in shown
    assert "best:    trial 2, validation:loss 0.7500, validation:accuracy 0.5000" in shown
    assert "           lr = 0.012345678901234\n" in shown
    assert "billed:  600 s of 600 s x 1 ml.m5.xlarge, about $0.0383" in shown
    run = only_run(here)
    found = run_json(run)
    assert (found["status"], found["aws"]["kind"]) == ("Completed", "tuning-job")
    assert f"#/hyper-tuning-jobs/{found['aws']['job']}" in found["aws"]["console"]
    assert lines[-1] == f"         kennel tune {here}/dogs.toml --on aws --fetch-best"


def test_curves_come_from_the_log_and_what_is_missing_is_said(aws_here, here, capsys):
    TuningJob(aws_here, *LOOKS, curves=(2,))
    assert main(["tune", str(tuning_file(here)), *RUN]) == 0
    study = study_in(only_run(here))
    assert study.trials[1].curves == (
        {"epoch": 1, "validation:loss": 2.5},
        {"epoch": 2, "validation:loss": 0.75},
    )
    assert study.trials[0].curves == ()
    assert (
        "curves:  AWS's log has none of trial 1: the page goes without them"
        in capsys.readouterr().out
    )


def test_a_log_that_nobody_may_read_costs_the_curves_alone(aws_here, here, capsys):
    TuningJob(aws_here, *LOOKS)
    aws_here.fail("DescribeLogStreams", "AccessDeniedException", "no", times=9)
    assert main(["tune", str(tuning_file(here)), *RUN]) == 0
    assert "note: trials are shown without their curves" in capsys.readouterr().err
    assert [trial.objective for trial in study_in(only_run(here)).trials] == [1.25, 0.75, None]


def test_the_page_and_the_table_are_those_of_a_local_study(aws_here, here):
    TuningJob(aws_here, *LOOKS)
    assert main(["tune", str(tuning_file(here)), *RUN]) == 0
    run = only_run(here)
    page = (run / "output" / "data" / "report.html").read_text()
    assert "Trial 2 is the best of 3: validation:loss 0.7500" in page
    assert "Best hyperparameters" in page
    with (run / "output" / "data" / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["status"], row["objective"]) for row in rows] == [
        ("Completed", "1.25"),
        ("Completed", "0.75"),
        ("Failed", ""),
    ]
    assert rows[1]["lr"] == "0.012345678901234"


def test_a_run_takes_the_best_of_a_study_in_aws(aws_here, here, capsys):
    TuningJob(aws_here, *LOOKS)
    assert main(["tune", str(tuning_file(here)), *RUN]) == 0
    (here / "picture").mkdir()
    (here / "picture" / "a.png").touch()
    (here / "job.toml").write_text('[channels]\ntrain = "picture"\n')
    capsys.readouterr()
    assert main(["run", "job.toml", "--from", "best", "--show"]) == 0
    assert "hyperparameter   lr = 0.012345678901234" in capsys.readouterr().out


def test_the_best_bundle_comes_on_request_also_afterwards(aws_here, here, capsys):
    TuningJob(aws_here, *LOOKS)
    words = ["tune", str(tuning_file(here)), *RUN]
    assert main(words) == 0
    run = only_run(here)
    assert not (run / "model").exists()
    page = (run / "output" / "data" / "report.html").read_bytes()
    created = len(aws_here.calls("CreateHyperParameterTuningJob"))
    assert main([*words, "--fetch-best"]) == 0
    assert len(aws_here.calls("CreateHyperParameterTuningJob")) == created
    assert f"kennel serve {run.relative_to(here)}" in capsys.readouterr().out
    assert study_in(run).bundle == "model"
    assert (
        run / "output" / "data" / "report.html"
    ).read_bytes() == page  # the study's, not a trial's
    (here / "red.png").write_bytes(picture("red"))
    assert main(["predict", "red.png", "--bundle", str(run)]) == 0
    assert "red" in capsys.readouterr().out.splitlines()[0]


def test_what_is_shown_is_what_is_sent(aws_here, here, capsys):
    words = ["tune", str(tuning_file(here)), "--on", "aws"]
    assert main([*words, "--show"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert aws_here.seen == []
    TuningJob(aws_here, ENDED)
    assert main([*words, "--yes"]) == 0
    (sent,) = aws_here.calls("CreateHyperParameterTuningJob")
    assert same_name(json.dumps(sent)) == same_name(json.dumps(shown["parameters"]))


def test_a_study_that_has_ended_is_shown_and_not_run_again(aws_here, here, capsys):
    TuningJob(aws_here, ENDED)
    words = ["tune", str(tuning_file(here)), *RUN]
    assert main(words) == 0
    capsys.readouterr()
    assert main(words) == 0
    assert "nothing was run: this study has ended\n" in capsys.readouterr().out
    assert len(aws_here.calls("CreateHyperParameterTuningJob")) == 1
    assert main([*words, "--max-jobs", "9"]) == 2
    assert "AWS adds none to a tuning job" in capsys.readouterr().err


def test_of_a_study_that_is_there_what_a_real_run_would_do_is_shown(aws_here, here, capsys):
    TuningJob(aws_here, *LOOKS)
    words = ["tune", str(tuning_file(here)), "--on", "aws"]
    assert main([*words, "--yes"]) == 0
    run = only_run(here)
    capsys.readouterr()
    aws_here.forget()

    def shown(*more):
        assert main([*words, *more, "--show"]) == 0
        captured = capsys.readouterr()
        operations = [one["operation"] for one in json.loads(captured.out)]
        return operations, captured.err

    has_ended = f"runs/{run.name} is this study, which has ended: it would be shown"
    asked, note = shown()
    assert asked == []
    assert note.endswith(f"note:    {has_ended}\n")
    asked, note = shown("--fetch-best")
    assert asked == ["DescribeTrainingJob"]
    assert "then its outputs in S3" in note
    assert main([*words, "--max-jobs", "9", "--show"]) == 2
    assert "AWS adds none to a tuning job" in capsys.readouterr().err
    began = {**run_json(run), "status": "InProgress"}
    (run / "run.json").write_text(json.dumps(began))
    asked, note = shown()
    assert asked == [
        "DescribeHyperParameterTuningJob",
        "ListTrainingJobsForHyperParameterTuningJob",
    ]
    assert "until it has ended" in note
    assert aws_here.seen == []


def test_a_tuning_job_that_failed_says_why(aws_here, here, capsys):
    TuningJob(aws_here, ("Failed", "Failed", "Failed"), end="Failed")
    assert main(["tune", str(tuning_file(here)), *RUN]) == 1
    shown = capsys.readouterr().out
    assert "study dogs: Failed, 3 of 3 trials (3 failed)" in shown
    assert "best:" not in shown


def test_parents_are_runs_here_or_tuning_jobs_there(aws_here, here, capsys):
    TuningJob(aws_here, ENDED)
    assert main(["tune", str(tuning_file(here)), *RUN]) == 0
    job = run_json(only_run(here))["aws"]["job"]
    capsys.readouterr()
    more = '[warm_start]\nparents = ["0001-dogs", "theirs-1"]\n'
    words = ["tune", str(tuning_file(here, more=more)), "--on", "aws", "--name", "next", "--show"]
    assert main(words) == 0
    parameters = json.loads(capsys.readouterr().out)[0]["parameters"]
    parents = parameters["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
    assert [one["HyperParameterTuningJobName"] for one in parents] == [job, "theirs-1"]


def test_a_study_of_this_machine_is_no_parent_in_aws(aws_here, here, capsys):
    spec = read_tuning(tuning_file(here)).spec
    write_study_run(here / "runs", Study(spec=spec))
    more = '[warm_start]\nparents = ["1"]\n'
    assert main(["tune", str(tuning_file(here, more=more)), "--on", "aws", "--show"]) == 2
    assert "did not run as a tuning job in AWS" in capsys.readouterr().err


def test_nothing_is_made_when_nobody_agrees(aws_here, here, capsys):
    assert main(["tune", str(tuning_file(here)), "--on", "aws"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert aws_here.calls("CreateHyperParameterTuningJob") == []
    assert not (here / "runs").exists()


def test_json_is_one_document_and_people_read_stderr(aws_here, here, capsys):
    TuningJob(aws_here, *LOOKS)
    assert main(["tune", str(tuning_file(here)), *RUN, "-o", "json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["best_hyperparameters"] == {"lr": 0.012345678901234, "batch-size": 64}
    assert found["aws"]["kind"] == "tuning-job"
    assert "trial 1/3" in captured.err


def test_in_one_job_the_study_comes_with_the_outputs(aws_here, here, capsys):
    path = tuning_file(here)
    spec = read_tuning(path, in_aws=True).spec
    TuningJob(aws_here, *LOOKS)
    assert main(["tune", str(path), *RUN]) == 0  # one there, to have a study's files
    folder = study_path(only_run(here)).parent
    written = read_study(folder / "study.json")
    write_study(folder / "study.json", replace(written, spec=spec, bundle="model"))
    data = archive_of({one.name: one.read_bytes() for one in folder.iterdir()})
    aws_here.script.answers.clear()

    def act(asked):
        job = asked["TrainingJobName"]
        put(aws_here, f"out/{job}/output/model.tar.gz", bundle_archive())
        put(aws_here, f"out/{job}/output/output.tar.gz", data)

    aws_here.after("CreateTrainingJob", act)
    passing(aws_here)
    words = ["tune", str(path), *RUN, "--in-one-job"]
    capsys.readouterr()
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "best:    trial 2, validation:loss 0.7500" in shown
    assert "kennel serve runs/0002-dogs" in shown
    (request,) = aws_here.calls("CreateTrainingJob")
    assert request["CheckpointConfig"]["S3Uri"] == "s3://kennel-test/out/dogs/checkpoints"
    assert (here / "runs" / "0002-dogs" / "output" / "data" / "report.html").is_file()
    capsys.readouterr()
    assert main([*words, "--show"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == []
    assert "0002-dogs is this study, which has ended" in shown.err
    assert main(words) == 0  # it has ended
    assert len(aws_here.calls("CreateTrainingJob")) == 1

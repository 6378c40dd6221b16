"""`kennel tune`: what is shown, what is refused, what continues; `kennel run --from`."""

import contextlib
import json
import os
import re
import sys

import pytest
from test_control_tuning_file import AWS
from tuning import SEARCH, three_trials, write_search, write_study_run

from control.cli import main
from control.runs import read_run
from control.tuning_file import read_tuning

WORDS = ["tune", "search.toml"]


@pytest.fixture
def here(tmp_path):
    """Work in a folder with a job, a search and a picture."""
    write_search(tmp_path)
    with contextlib.chdir(tmp_path):
        yield tmp_path


def leave_study(here, status="Completed", run_status="Completed", pid=0):
    """What an earlier `kennel tune search.toml` left."""
    tuning = read_tuning(here / "search.toml")
    study = three_trials(tuning.spec, status=status)
    return write_study_run(
        here / "runs", study, channels=tuning.channels, status=run_status, pid=pid
    )


def test_show_prints_the_plan_the_warnings_and_starts_nothing(here, capsys):
    assert main([*WORDS, "--show"]) == 0
    shown, said = capsys.readouterr()
    assert f"command          {sys.executable} -m train" in shown
    assert "range            batch-size = 32 | 64" in shown
    assert "hyperparameter   epochs = 5" in shown
    assert "warning: ranges.lr: 0.1 to 0.9" in said
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("me:secret@host:5432/studies", "me:***@host:5432/studies"),
        ("me:sec:ret@secret@host/studies", "me:***@host/studies"),
        ("me@host/studies?password=secret&a=1", "me@host/studies?password=***&a=1"),
    ],
)
def test_show_hides_the_password_of_the_storage(url, says, here, capsys):
    assert main([*WORDS, "--show", "--storage", f"postgresql+psycopg://{url}"]) == 0
    shown = capsys.readouterr().out
    assert f"KENNEL_STUDY_STORAGE=postgresql+psycopg://{says}" in shown
    assert "secret" not in shown


def test_show_as_json_is_one_document_with_the_present_state(here, capsys):
    folder = leave_study(here)
    assert main([*WORDS, "--show", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["plan"]["command"] == [sys.executable, "-m", "train"]
    best = {"lr": 0.012345678901234, "batch-size": 64}
    assert document["study"]["best_hyperparameters"] == best
    assert document["study"]["folder"] == os.path.relpath(folder)
    assert any("diverge" in line for line in document["warnings"])


def test_a_finished_study_is_shown_and_not_run_again(here, capsys):
    leave_study(here)
    assert main(WORDS) == 0
    shown = capsys.readouterr().out
    assert "best:    trial 1, test:loss 0.7500" in shown
    assert "nothing was run: this study has ended; --max-jobs 6 extends it" in shown
    assert len(list((here / "runs").iterdir())) == 1


def test_a_study_that_outlived_its_command_is_completed(here, capsys):
    folder = leave_study(here, run_status="InProgress", pid=2**22 + 1)
    (folder / "model").mkdir()
    (folder / "output" / "failure").write_text("another process works on this study")
    assert main(WORDS) == 0
    assert "dogs: Completed, 3 of 3" in capsys.readouterr().out
    assert read_run(folder).status == "Completed"
    assert not (folder / "output" / "failure").exists()


def test_show_says_whether_the_study_continues(here, capsys):
    leave_study(here)
    assert main([*WORDS, "--show", "--max-jobs", "9"]) == 0
    assert "continues        runs/0001-dogs" in capsys.readouterr().out
    assert main([*WORDS, "--show"]) == 0
    assert "has ended in     runs/0001-dogs" in capsys.readouterr().out


def test_a_study_that_runs_is_not_started_twice(here, capsys):
    leave_study(here, status="InProgress", run_status="InProgress", pid=os.getppid())
    assert main(WORDS) == 2
    assert "is this study and runs already, as process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--on", "aws", "--show"], "needs a table [aws]"),
        (["--on", "moon"], "this version knows process, container and aws"),
        (["--set", "arch=resnet5O", "--show"], "did you mean 'resnet50'?"),
        (["--set", "lr=0.1"], "either a range or one value, not both"),
        (["--image", "x"], "a process has none"),
        (["--in-one-job"], "--in-one-job: only a study in AWS takes it"),
        (["--max-jobs", "0"], "max_jobs: expected >= 1"),
        (["--max-job", "3"], "did you mean --max-jobs?"),
    ],
)
def test_asking_the_impossible_is_one_line_and_exit_code_2(words, says, here, capsys):
    assert main([*WORDS, *words]) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_in_aws_the_exact_request_is_shown_and_nothing_sent(here, capsys):
    (here / "search.toml").write_text(SEARCH + AWS)
    assert main([*WORDS, "--on", "aws", "--show"]) == 0
    (call,) = json.loads(capsys.readouterr().out)
    assert call["operation"] == "CreateHyperParameterTuningJob"
    assert re.fullmatch(r"dogs-\d{8}-\d{6}", call["parameters"]["HyperParameterTuningJobName"])
    assert main([*WORDS, "--on", "aws", "--in-one-job", "--show"]) == 0
    (call,) = json.loads(capsys.readouterr().out)
    assert call["operation"] == "CreateTrainingJob"
    assert call["parameters"]["HyperParameters"]["epochs"] == "5"
    assert not (here / "runs").exists()


def test_spot_trials_without_checkpoints_are_warned_of(here, capsys):
    (here / "search.toml").write_text(SEARCH + AWS.replace("[aws]", "[aws]\nspot = true"))
    line = "aws.spot: trials of a tuning job have no checkpoints"
    assert main([*WORDS, "--on", "aws", "--show"]) == 0
    assert line in capsys.readouterr().err
    assert main([*WORDS, "--on", "aws", "--in-one-job", "--show"]) == 0
    assert line not in capsys.readouterr().err


def test_run_takes_the_best_of_a_study_below_what_is_set(here, capsys):
    leave_study(here)
    words = ["run", "job.toml", "--show", "--from", "best", "--set", "batch_size=8"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "from runs/0001-dogs, trial 1: lr = 0.012345678901234\n" in shown
    assert "hyperparameter   lr = 0.012345678901234" in shown
    assert "hyperparameter   batch_size = 8" in shown
    assert "hyperparameter   epochs = 30" in shown


def test_run_from_a_study_that_is_not_there_says_how_to_have_one(here, capsys):
    assert main(["run", "job.toml", "--from", "best"]) == 2
    assert "start one with `kennel tune TUNING.toml`" in capsys.readouterr().err


def test_run_finds_a_learning_rate_on_request(here, capsys):
    assert main(["run", "job.toml", "--show", "--find-lr"]) == 0
    assert "hyperparameter   kennel_find_lr = true" in capsys.readouterr().out

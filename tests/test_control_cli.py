"""The command line: exit codes, one line on stderr, suggestions, `-o json`."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from control.cli import COMMANDS, main
from control.runs import Run, make_run_folder, write_run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def here(tmp_path):
    """Work in an empty folder."""
    with contextlib.chdir(tmp_path):
        yield tmp_path


@pytest.fixture
def job(here):
    """A job description with one picture."""
    (here / "pictures").mkdir()
    (here / "pictures" / "a.png").touch()
    path = here / "dogs.toml"
    path.write_text('[channels]\ntrain = "pictures"\n')
    return path


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {command.name} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_with_examples(command, capsys):
    assert main([command.name, "--help"]) == 0
    assert f"examples:\n  kennel {command.name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnu"], "did you mean `kennel run`?"),
        (["zebra"], "known: run, tune"),
        (["run"], "the following arguments are required: JOB.toml"),
        (["run", "a.toml", "--shwo"], "did you mean --show?"),
        (["run", "a.toml", "--set", "epochs"], "expected NAME=VALUE, got 'epochs'"),
        (["run", "a.toml", "--on", "moon"], "this version knows process, container, aws and ec2"),
        (["run", "a.toml", "--on", "proces"], "did you mean 'process'?"),
        (["run", "nowhere.toml"], "nowhere.toml does not exist"),
        (["list", "-o", "yaml"], "invalid choice: 'yaml'"),
        (["report"], "no run in runs/ yet"),
        (["serve", "nowhere"], "nowhere does not exist"),
        (["predict", "nowhere.png"], "nowhere.png cannot be read"),
    ],
)
def test_asking_the_impossible_is_one_line_and_exit_code_2(words, says, here, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("kennel: ")
    assert error.count("\n") == 1


def test_show_prints_the_plan_and_starts_nothing(job, here, capsys):
    assert main(["run", str(job), "--show", "--set", "lr=0.5"]) == 0
    shown = capsys.readouterr().out
    assert f"command          {sys.executable} -m train" in shown
    assert "lr = 0.5" in shown
    assert not (here / "runs").exists()


def test_show_as_json_is_one_document(job, capsys):
    assert main(["run", str(job), "--show", "-o", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["command"] == [sys.executable, "-m", "train"]


def test_list_and_report_tell_what_the_runs_came_to(here, capsys):
    folder = make_run_folder(here / "runs", "dogs")
    metrics = {"test:accuracy": 0.46, "train:loss": 2.5}
    write_run(Run(name="dogs", folder=folder, status="Completed", seconds=75, metrics=metrics))
    assert main(["list"]) == 0
    assert "0001-dogs  Completed  test:accuracy 0.4600  1 min 15 s" in capsys.readouterr().out
    assert main(["report", "dogs"]) == 0
    assert "train:loss=2.500000;\ntest:accuracy=0.460000;\n" in capsys.readouterr().out
    assert main(["list", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["metrics"] == metrics


def test_an_empty_list_says_how_to_begin(here, capsys):
    assert main(["list"]) == 0
    assert "kennel run JOB.toml" in capsys.readouterr().out


def test_the_command_works_from_any_folder_and_closes_pipes_quietly(here):
    """As a person runs it: another working folder, output cut off by `head`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONUNBUFFERED", None)  # it would hide what Python says at its end
    command = [sys.executable, "-m", "control", "run", "--help"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    process.stdout.close()
    with process.stderr:
        complaint = process.stderr.read()
    process.wait(timeout=30)
    assert complaint == ""


def test_output_has_no_colours_even_on_request(here):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "control", "--help"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True, env=environment)
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_shell_has_closed_are_no_trouble(job, here, closed):
    """Neither for the command nor for the process that it starts, which has no train channel."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = f'"{sys.executable}" -m control run "{job}" {closed}; echo "rc $?" >>rc'
    done = subprocess.run(
        ["bash", "-c", line], cwd=here, capture_output=True, text=True, timeout=60, env=environment
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert (here / "rc").read_text() in ("rc 1\n", "rc 2\n")
    (log,) = (here / "runs").glob("*/train.log")
    assert "Traceback" not in log.read_text()


def test_a_list_with_stdout_closed_is_told_to_nobody(here):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = f'"{sys.executable}" -m control list >&-'
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=30, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_folder_that_cannot_be_written_is_one_line(job, here, capsys):
    (here / "runs").write_text("a file of this name")
    assert main(["run", str(job)]) == 1
    complaint = capsys.readouterr().err
    assert complaint == f"kennel: cannot write {here}/runs: File exists; check the path\n"

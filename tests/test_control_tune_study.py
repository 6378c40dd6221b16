"""A whole study through the command line: run, shown again, and what it leaves."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from training import REPOSITORY, TINY, metric_lines

from contract.study import read_study
from control.study_runs import study_path

TUNING = """
[hyperparameters]
{static}
[channels]
train = "{pictures}/train"
validation = "{pictures}/validation"
test = "{pictures}/test"
[tuning]
strategy = "Grid"
objective = "validation:loss"
[ranges]
lr = [0.01, 0.02]
"""


@pytest.fixture(scope="module")
def studied(pictures, tmp_path_factory):
    """A folder in which `kennel tune tiny.toml -o json` has run; and its document."""
    folder = tmp_path_factory.mktemp("studied")
    given = {**TINY, "epochs": "2"}
    static = "\n".join(f'{name} = "{text}"' for name, text in given.items() if name != "lr")
    (folder / "tiny.toml").write_text(TUNING.format(static=static, pictures=pictures))
    return folder, json.loads(_kennel(folder, "tune", "tiny.toml", "-o", "json").stdout)


def _kennel(folder, *words):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-m", "control", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


def test_every_combination_was_tried_and_the_best_is_typed(studied):
    _, document = studied
    assert document["status"] == "Completed"
    assert [trial["status"] for trial in document["trials"]] == ["Completed", "Completed"]
    best = min(document["trials"], key=lambda trial: trial["objective"])
    assert document["best_hyperparameters"] == best["hyperparameters"]
    assert type(document["best_hyperparameters"]["lr"]) is float


def test_the_run_folder_is_a_bundle_with_a_page(studied):
    folder, document = studied
    run = folder / document["folder"]
    assert (run / "model" / "bundle.json").is_file()
    assert (folder / document["report"]).is_file()
    assert read_study(study_path(run)).best == document["best"]


def test_the_same_command_runs_nothing_again(studied):
    folder, document = studied
    log = folder / document["folder"] / "train.log"
    before = log.read_bytes()
    shown = _kennel(folder, "tune", "tiny.toml").stdout
    assert "nothing was run: this study has ended\n" in shown
    assert f"kennel serve {document['folder']}" in shown
    assert log.read_bytes() == before


def test_a_job_takes_the_best(studied):
    folder, document = studied
    (folder / "job.toml").write_text((folder / "tiny.toml").read_text().split("[tuning]")[0])
    shown = _kennel(folder, "run", "job.toml", "--from", "best", "--show").stdout
    assert f"hyperparameter   lr = {document['best_hyperparameters']['lr']}" in shown


def test_a_job_tells_its_metrics_once_at_its_end(studied):
    folder, _ = studied
    (folder / "job.toml").write_text((folder / "tiny.toml").read_text().split("[tuning]")[0])
    shown = _kennel(folder, "run", "job.toml", "--from", "best").stdout
    end = shown.partition("\ndone ")[2]
    names = [name for name, _ in metric_lines(end)]
    assert len(names) == len(set(names)) > 3, end
    assert names[-1] == "test:accuracy"
    assert "\njob job: Completed after" in end


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere training does not hear of it")
def test_after_kill_9_the_same_command_continues_at_once(studied, pictures, tmp_path):
    text = (studied[0] / "tiny.toml").read_text().replace("[0.01, 0.02]", "[0.01, 0.02, 0.03]")
    text = text.replace('epochs = "2"', 'epochs = "150"\nearly-stopping-patience = "0"')
    (tmp_path / "tiny.toml").write_text(text)
    run = tmp_path / "runs" / "0001-tiny"
    with subprocess.Popen(
        [sys.executable, "-m", "control", "tune", "tiny.toml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
    ) as killed:
        while not (study_path(run).is_file() and read_study(study_path(run)).num_finished):
            assert killed.poll() is None
            time.sleep(0.05)
        killed.kill()
    shown = _kennel(tmp_path, "tune", "tiny.toml").stdout
    assert "continuing runs/0001-tiny" in shown
    assert "Completed, 3 of 3 trials" in shown
    assert "Completed" in _kennel(tmp_path, "list").stdout
    assert not (run / "output" / "failure").exists()


def test_the_same_command_twice_at_a_time_is_one_study(studied, tmp_path):
    (tmp_path / "tiny.toml").write_text((studied[0] / "tiny.toml").read_text())
    command = [sys.executable, "-m", "control", "tune", "tiny.toml"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with ExitStack() as stack:
        both = [
            stack.enter_context(
                subprocess.Popen(
                    command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
                )
            )
            for _ in range(2)
        ]
        said = [one.communicate(timeout=300)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 2]
    assert "is this study and runs already, as process" in "".join(said)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["0001-tiny"]

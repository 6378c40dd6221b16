"""`train` as the container runs it: sagemaker-training's console script, ours and a user's."""

import json
import os
import sys
from pathlib import Path

import pytest
from training import SDK, failure, lay_out, metric_lines, run_command

from classifier.classifier import Classifier


@pytest.fixture
def toolkit():
    """The console script `train` of sagemaker-training, where it is installed."""
    pytest.importorskip("sagemaker_training", exc_type=ImportError)
    script = Path(sys.executable).with_name("train")
    assert script.is_file()
    return [str(script)]


def toolkit_environment(base: Path, **more: str) -> dict[str, str]:
    return {
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_TRAINING_MODULE": "train.main:main",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **more,
    }


def test_the_toolkits_train_runs_our_job(toolkit, pictures, tmp_path):
    base = lay_out(tmp_path / "ml", pictures, SDK)
    done = run_command(toolkit, toolkit_environment(base))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test:accuracy" in dict(metric_lines(done.stdout))
    assert (base / "output" / "success").exists()
    assert Classifier.load(base / "model").labels == ("bars", "disc", "rings")


def test_our_one_line_comes_first_in_the_toolkits_failure_file(toolkit, pictures, tmp_path):
    base = lay_out(tmp_path / "ml", pictures, {"epohcs": "3"})
    done = run_command(toolkit, toolkit_environment(base))
    assert done.returncode == 1
    assert failure(base / "output").startswith("hyperparameter 'epohcs': expected a known name")
    assert not (base / "output" / "success").exists()


@pytest.mark.parametrize("by", ["environment", "hyperparameter"])
def test_a_users_own_script_runs_through_the_toolkit(toolkit, pictures, tmp_path, by):
    code = tmp_path / "code"
    code.mkdir()
    (code / "mine.py").write_text(
        "import os, sys\n"
        "print('mine', *sys.argv[1:])\n"
        "open(os.path.join(os.environ['SM_MODEL_DIR'], 'mine.txt'), 'w').write('done')\n"
    )
    given = {"epochs": "3", "sagemaker_submit_directory": json.dumps(str(code))}
    more = {"SAGEMAKER_PROGRAM": "mine.py", "SAGEMAKER_SUBMIT_DIRECTORY": str(code)}
    if by == "hyperparameter":
        given["sagemaker_program"], more = '"mine.py"', {}
    base = lay_out(tmp_path / "ml", pictures, given)
    done = run_command(toolkit, toolkit_environment(base, **more))
    assert done.returncode == 0, done.stdout + done.stderr
    # The toolkit prints what it reads in pieces, each on a line of its own.
    assert "mine --epochs 3" in " ".join(done.stdout.split())
    assert (base / "model" / "mine.txt").read_text() == "done"


def test_a_value_with_shell_words_reaches_the_script_as_it_is(toolkit, pictures, tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "mine.py").write_text("import sys; print(len(sys.argv), repr(sys.argv[-1]))\n")
    given = {"title": "cats; echo INJECTED $HOME", "sagemaker_program": "mine.py"}
    given["sagemaker_submit_directory"] = str(code)
    base = lay_out(tmp_path / "ml", pictures, given)
    done = run_command(toolkit, toolkit_environment(base))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 'cats; echo INJECTED $HOME'" in " ".join(done.stdout.split())


def test_a_users_script_that_fails_fails_the_job(toolkit, pictures, tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "mine.py").write_text("raise ValueError('my own mistake')\n")
    given = {"sagemaker_program": "mine.py", "sagemaker_submit_directory": str(code)}
    base = lay_out(tmp_path / "ml", pictures, given)
    done = run_command(toolkit, toolkit_environment(base))
    assert done.returncode == 1
    assert "my own mistake" in (base / "output" / "failure").read_text()

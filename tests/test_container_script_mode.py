"""Script mode in the train image, as AWS's PyTorch containers do it and their tests expect it."""

import json

import pytest
from containers import HARDENED, build_images, run
from scripts import (
    IMAGE,
    pack,
    run_files,
    run_script,
    started,
    write_code,
    write_opt_ml,
    write_wheel,
)

pytestmark = pytest.mark.container


@pytest.fixture(scope="module", autouse=True)
def _images():
    build_images()


# A user's code with the names of our own packages, one of them a folder without __init__.py.
NAMESAKES = {
    "train.py": """
        import json, os, sys
        import contract
        from classifier.net import NAME
        print("mine", sys.argv[1:], contract.NAME, NAME)
        assert os.environ["SM_CHANNELS"] == '["training"]'
        assert os.path.isdir(os.environ["SM_CHANNEL_TRAINING"])
        assert json.loads(os.environ["SM_HPS"])["lr"] == 0.1, os.environ["SM_HPS"]
        assert os.getcwd() == "/opt/ml/code"
        open(os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"), "w").close()
    """,
    "contract.py": "NAME = 'my contract'\n",
    "classifier/net.py": "NAME = 'my net'\n",
}
SENT = {  # as SDK v2 encodes: every value as JSON once more
    "lr": "0.1",
    "name": '"two words; $HOME"',
    "nesterov": "true",
    "nothing": "null",
    "sizes": "[1, 2]",
    "map": '{"a": 1, "b": "x"}',
    "k": "5",
    "sagemaker_region": '"eu-west-1"',
    "_tuning_objective_metric": "loss",
}
FLAGS = [
    *("-k", "5", "--lr", "0.1", "--map", "a=1,b=x", "--name", "two words; $HOME"),
    *("--nesterov", "True", "--nothing", "", "--sizes", "[1, 2]"),
]


def assert_ran(done):
    assert done.code == 0, done.log
    assert f"mine {FLAGS} my contract my net" in done.words
    assert done.log.count("mine [") == 1
    assert done.is_success
    assert not done.failure
    assert (done.base / "model" / "model.pth").exists()


def test_a_script_named_train_runs_with_siblings_named_as_our_packages(tmp_path):
    base = write_opt_ml(tmp_path / "ml", SENT)
    code = write_code(tmp_path / "mycode", NAMESAKES)
    environment = (
        "--env=SAGEMAKER_PROGRAM=train.py",
        "--env=SAGEMAKER_SUBMIT_DIRECTORY=/mycode",
        "--env=PYTHONPATH=/mycode",
        f"--volume={code}:/mycode:ro",
    )
    assert_ran(run_script(base, *environment, "--workdir=/mycode"))


@pytest.mark.parametrize("source", ["code channel", "file address", "in the image"])
def test_the_code_is_found_where_the_sdk_says(tmp_path, source):
    base = tmp_path / "ml"
    archive = "/opt/ml/input/data/code/sourcedir.tar.gz"
    address = {"code channel": archive, "file address": "file:///opt/ml/mycode"}.get(source)
    more = {"sagemaker_submit_directory": json.dumps(address)} if address else {}
    write_opt_ml(base, {**SENT, "sagemaker_program": '"train.py"', **more})
    if source == "code channel":
        pack(write_code(tmp_path / "packed", NAMESAKES), base / archive.removeprefix("/opt/ml/"))
    else:
        write_code(base / ("code" if address is None else "mycode"), NAMESAKES)
    assert_ran(run_script(base))


@pytest.mark.parametrize("options", [("--network=none",), HARDENED], ids=["root", "hardened"])
def test_requirements_are_installed_before_the_script_runs(tmp_path, options):
    files = {
        "mine.py": "import wheel_of_mine, numpy; print('has', wheel_of_mine.NAME)",
        "requirements.txt": "--no-index\n--find-links /opt/ml/code\nwheel_of_mine\nnumpy>=2\n",
    }
    base = write_opt_ml(tmp_path / "ml", {"sagemaker_program": "mine.py"})
    write_wheel(write_code(base / "code", files), "wheel_of_mine", "NAME = 'the wheel'\n")
    done = run_script(base, *options)
    assert done.code == 0, done.log
    assert "has the wheel" in done.log


def test_a_package_that_is_not_there_fails_the_job_with_pips_reason(tmp_path):
    files = {"mine.py": "print('never')", "requirements.txt": "--no-index\nnot-a-package-x==1\n"}
    done = run_files(tmp_path / "ml", "mine.py", files)
    assert done.code == 1
    assert done.failure.startswith("pip install -r requirements.txt failed: ")
    assert "not-a-package-x==1" in done.failure
    assert "never" not in done.log


def test_a_package_with_setup_py_is_installed_and_run_as_a_module(tmp_path):
    setup = "from setuptools import setup\nsetup(name='x-of-mine', version='1', {})\n"
    files = {
        "setup.py": setup.format("py_modules=['go'], package_dir={'': '.'}"),
        "go.py": """
            import importlib.metadata as m, sys
            print("version", m.version("x-of-mine"), __name__, __spec__.name, sys.argv[1:])
        """,
    }
    done = run_files(tmp_path / "ml", "go.py", files, epochs="2")
    assert done.code == 0, done.log
    assert "version 1 __main__ go ['--epochs', '2']" in done.log


@pytest.mark.parametrize("first_line", ["#!/bin/bash", "# no interpreter named"])
def test_a_shell_script_gets_flags_and_variables(tmp_path, first_line):
    lines = [first_line, 'echo "shell $# $1 $SM_CURRENT_HOST"', 'python helper.py "$2"']
    files = {"go.sh": "\n".join(lines), "helper.py": "import sys; print('helped', sys.argv[1])"}
    done = run_files(tmp_path / "ml", "go.sh", files, title='"two words"')
    assert done.code == 0, done.log
    assert "shell 2 --title algo-1 helped two words" in done.words
    assert done.is_success


def test_a_failing_script_leaves_its_own_last_words(tmp_path):
    source = "import sys\nprint('working')\nsys.stdout.flush()\nint('no number')\n"
    done = run_files(tmp_path / "ml", "mine.py", {"mine.py": source}, epochs="3")
    assert done.code == 1
    assert done.failure.startswith('ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ValueError:')
    assert "no number" in done.failure.splitlines()[2]
    assert done.failure.endswith('mine.py --epochs 3"')
    assert len(done.failure) <= 1024
    assert not done.is_success


def test_a_failure_file_of_the_scripts_own_is_kept(tmp_path):
    source = "open('/opt/ml/output/failure', 'w').write('my own reason'); raise SystemExit(7)"
    done = run_files(tmp_path / "ml", "mine.py", {"mine.py": source})
    assert (done.code, done.failure) == (1, "my own reason")


def test_a_script_that_is_killed_for_its_memory_says_so(tmp_path):
    source = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    done = run_files(tmp_path / "ml", "mine.py", {"mine.py": source})
    assert done.code == 1
    assert "ExitCode 137" in done.failure
    assert "OutOfMemory" in done.failure


def test_an_entry_point_that_was_not_sent_is_named(tmp_path):
    done = run_files(tmp_path / "ml", "absent.py", {"mine.py": ""})
    assert done.code == 1
    assert done.failure.startswith(
        "entry point 'absent.py' is not in /opt/ml/code, which holds mine"
    )


def test_mpi_is_refused_in_one_line(tmp_path):
    files = {"mine.py": "print('never')"}
    done = run_files(tmp_path / "ml", "mine.py", files, sagemaker_mpi_enabled="true")
    assert done.code == 1
    assert done.failure.startswith("sagemaker_mpi_enabled: this image has no MPI")
    assert "never" not in done.log


SAVES = """
    import pathlib, signal, sys, time
    def save(*_):
        time.sleep(1)
        pathlib.Path("/opt/ml/checkpoints/saved").write_text("x")
        print("saved", flush=True)
        sys.exit(0)
    signal.signal(signal.SIGTERM, save)
    print("working", flush=True)
    time.sleep(120)
"""


@pytest.mark.parametrize("how", ["python", "shell", "torchrun"])
def test_sigterm_reaches_the_script_which_saves(tmp_path, how):
    files = {"mine.py": SAVES, "go.sh": "python mine.py\necho not-reached\n"}
    program = "go.sh" if how == "shell" else "mine.py"
    flags = {"sagemaker_torch_distributed_enabled": "true"} if how == "torchrun" else {}
    base = write_opt_ml(tmp_path / "ml", {"sagemaker_program": program, **flags})
    (base / "checkpoints").mkdir()
    write_code(base / "code", files)
    with started(base) as running:
        running.wait_until(lambda: "working" in running.log(), "it does not work")
        assert running.stop() == 0, running.log()
        assert "not-reached" not in running.log()
    assert (base / "checkpoints" / "saved").exists()
    assert (base / "output" / "success").exists() == (how == "python")
    assert not (base / "output" / "failure").exists()


def test_a_script_that_does_not_hear_sigterm_ends_at_it_without_a_failure(tmp_path):
    base = write_opt_ml(tmp_path / "ml", {"sagemaker_program": "mine.py"})
    write_code(base / "code", {"mine.py": "import time; print('up', flush=True); time.sleep(99)"})
    with started(base) as running:
        running.wait_until(lambda: "up" in running.log(), "it is not up")
        assert running.stop() == 0, running.log()
    assert sorted(path.name for path in (base / "output").iterdir()) == ["data", "intermediate"]


def test_a_job_laid_out_by_hand_may_lack_config_files(tmp_path):
    base = write_opt_ml(tmp_path / "ml", {})
    for name in ("resourceconfig", "inputdataconfig"):
        (base / "input" / "config" / f"{name}.json").unlink()
    write_code(base / "code", {"mine.py": "import os; print(os.environ['SM_CHANNEL_TRAINING'])"})
    done = run_script(base, "--env=SAGEMAKER_PROGRAM=mine.py")
    assert done.code == 0, done.log
    assert "/opt/ml/input/data/training" in done.log


def test_an_output_folder_that_cannot_be_written_fails_the_job(tmp_path):
    base = write_opt_ml(tmp_path / "ml", {"sagemaker_program": "mine.py"})
    done = run_script(base, f"--volume={base / 'output'}:/opt/ml/output:ro")
    assert done.code == 1
    assert "/opt/ml/output is not writable" in done.log


def test_the_image_has_what_the_sdks_own_drivers_need(tmp_path):
    """SDK v3 brings its launcher and runs it with bash; the image's `train` is not asked."""
    code = write_code(tmp_path, {"train.py": "import sibling", "sibling.py": "print('found')"})
    words = (
        "pip3 --version >/dev/null && torchrun --help >/dev/null && cd /mycode && python3 train.py"
    )
    options = ("docker", "run", "--rm", f"--volume={code}:/mycode", "--entrypoint=/bin/bash")
    assert run(*options, IMAGE, "-c", words).stdout == "found\n"

"""`compile`: a run whose steps torch.compile has made. The oracle is the same run without it."""

import csv
import os
import shutil
import subprocess
import sys

import pytest
from safetensors.numpy import load_file
from training import TINY

from contract.hyperparameters import parse_hyperparameters
from train.compiler import wants_compiler

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


def train(pictures, folder, environment=None, **changes):
    """`python -m train` in a process of its own: torch.compile changes torch's loggers."""
    # Steps of one size alone: each further size takes as long to compile again.
    settings = {"unfreeze": "all", "batch-size": "12", "epochs": "2", "lr": "0.002"}
    values = {**TINY, **settings, **changes}
    channels = {name: pictures / name for name in ("train", "validation")}
    places = {"model-dir": folder / "model", "output-dir": folder / "output"}
    pairs = {**channels, **places, **values}.items()
    return subprocess.run(
        [sys.executable, "-m", "train", *(str(w) for k, v in pairs for w in (f"--{k}", v))],
        env={
            **os.environ,
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache"),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "CUDA_VISIBLE_DEVICES": "",
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def losses(folder):
    with (folder / "output" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [float(row[name]) for row in rows for name in ("train:loss", "validation:loss")]


@needs_compiler
def test_a_compiled_run_learns_what_the_plain_one_learns(pictures, tmp_path):
    for name, value in (("plain", "false"), ("compiled", "true")):
        done = train(pictures, tmp_path / name, compile=value)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("is compiled" in done.stdout) is (value == "true")
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-3)
    weights, same = (load_file(f / "model" / "model.safetensors") for f in (plain, compiled))
    assert weights.keys() == same.keys()
    for name, values in weights.items():
        assert same[name] == pytest.approx(values, abs=1e-3), name


def test_without_a_compiler_the_job_fails_in_one_line_before_it_reads_pictures(pictures, tmp_path):
    done = train(pictures, tmp_path, {"CXX": "/there/is/none"}, compile="true")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    last = (tmp_path / "output" / "failure").read_text()
    assert "compile: torch.compile does not work on this machine" in last
    assert "install g++ and Python's headers, or set compile to false" in last
    assert "data" not in {line.split()[0] for line in done.stdout.splitlines() if line.split()}


def test_processes_that_train_together_are_told_to_leave_it(pictures, tmp_path):
    done = train(pictures, tmp_path, **{"compile": "true", "processes-per-host": "2"})
    assert done.returncode == 2
    expected = "hyperparameter 'compile': expected false where several processes train together"
    assert expected in (tmp_path / "output" / "failure").read_text()


@pytest.mark.parametrize(("unfreeze", "wanted"), [("none", False), ("last-stage", True)])
def test_a_head_alone_is_not_compiled(unfreeze, wanted):
    raw = {"compile": "true", "unfreeze": unfreeze}
    assert wants_compiler(parse_hyperparameters(raw).values) is wanted

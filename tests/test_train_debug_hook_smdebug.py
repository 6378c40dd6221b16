"""Beside smdebug's own hook: the same names and values; and what its library may not do here."""

import json
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from recording import Saved, hook_for, record
from training import COUNTS, REPOSITORY, TINY, flags, run_command

from contract.opt_ml import write_job

# One step with smdebug's hook on the same network, in a process of its own: it stays registered.
THEIRS = """
import sys
sys.path.insert(0, sys.argv[2])
import smdebug.pytorch as smd
from torch import nn
from recording import small, state_for

hook = smd.Hook(
    out_dir=sys.argv[1], save_config=smd.SaveConfig(save_interval=1), save_all=True
)
module, loss = small(), nn.CrossEntropyLoss()
hook.register_module(module)
hook.register_loss(loss)
hook.set_mode(smd.modes.TRAIN)
batch = next(iter(state_for().task.batches.of_epoch(1)))
loss(module(batch.inputs), batch.targets).backward()
hook.close()
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The first step as we save it, and as smdebug does."""
    folder = tmp_path_factory.mktemp("pair")
    record(folder / "ours", hook_for(save_all="true", save_interval="1"))
    tests = str(REPOSITORY / "tests")
    done = run_command([sys.executable, "-c", THEIRS, str(folder / "theirs"), tests])
    assert done.returncode == 0, done.stderr
    return Saved(folder / "ours"), Saved(folder / "theirs")


def test_every_name_is_smdebugs(pair):
    ours, theirs = pair
    assert ours.names("train", 0) - theirs.names("train", 0) == {"scalar/learning_rate"}
    assert theirs.names("train", 0) - ours.names("train", 0) == set()


def test_values_are_smdebugs_except_what_it_sees_too_late(pair):
    """Behind an in-place ReLU it finds the answer where the input was, and where a layer's was."""
    ours, theirs = pair
    late = {"relu_input_0", "relu_input_1", "first_output_0", "second_output_0"}
    differing = {
        name
        for name in theirs.names("train", 0)
        if not np.array_equal(ours(name, 0), theirs(name, 0))
    }
    assert differing <= late
    assert "relu_input_0" in differing


def test_files_are_laid_out_as_smdebugs(pair):
    ours, theirs = (one.trial.path for one in pair)
    name = "index/000000000/000000000000_worker_0.json"
    mine, its = (json.loads(Path(folder, name).read_text()) for folder in (ours, theirs))
    assert mine["meta"] == its["meta"]
    assert {tuple(sorted(one)) for one in mine["tensor_payload"]} == {
        tuple(sorted(one)) for one in its["tensor_payload"]
    }


def test_a_job_without_a_hook_configuration_never_loads_smdebug(pictures, tmp_path):
    script = (
        "import sys\nfrom train.main import run\ncode = run(sys.argv[1:])\n"
        "print('smdebug' in sys.modules, 'train.debug_hook' in sys.modules)\nsys.exit(code)\n"
    )
    words = flags(pictures, tmp_path, epochs="1")
    done = run_command([sys.executable, "-c", script, *words])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False False"
    assert not (tmp_path / "output" / "tensors").exists()


def test_smdebug_says_nothing_starts_nothing_and_writes_nowhere_else(tmp_path):
    """Also where a profilerconfig.json would have it profile Python from its import on."""
    config = tmp_path / "profilerconfig.json"
    profile = tmp_path / "profile"
    parameters = {
        "LocalPath": str(profile),
        "PythonProfilingConfig": json.dumps({"StartStep": 0, "NumSteps": 99}),
    }
    config.write_text(json.dumps({"ProfilingParameters": parameters}))
    script = (
        "import sys, threading\nsys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\nfrom recording import hook_for, record\n"
        "record(Path(sys.argv[1]), hook_for(save_interval='1'))\n"
        "print('smdebug' in sys.modules, threading.active_count(), sys.getprofile())\n"
        "for path in Path(sys.argv[1]).rglob('*'):\n"
        "    path.is_dir() or path.unlink()\n"  # what would be written at exit is seen then
    )
    tensors = tmp_path / "tensors"
    done = run_command(
        [sys.executable, "-c", script, str(tensors), str(REPOSITORY / "tests")],
        {"SMPROFILER_CONFIG_PATH": str(config), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True 1 None"]
    assert done.stderr == ""
    assert not profile.exists()
    assert [path for path in tensors.rglob("*") if path.is_file()] == []


def test_warnings_of_smdebug_pass_through_our_log(tmp_path, caplog):
    record(tmp_path, hook_for())
    logging.getLogger("smdebug").warning("something is odd")
    assert (
        "train.debug_hook",
        logging.WARNING,
        "smdebug: something is odd",
    ) in caplog.record_tuples


def test_the_environment_is_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("SMPROFILER_CONFIG_PATH", "mine")
    before = dict(os.environ)
    record(tmp_path, hook_for())
    assert dict(os.environ) == before


def test_pictures_and_layers_of_a_real_network_have_their_names(pictures, tmp_path):
    """The whole command, laid out as SageMaker does, with the SDK's own hook configuration."""
    base = tmp_path / "ml"
    hook = hook_for("weights", "input_image", "relu_output", save_interval="100")
    given = {**TINY, "unfreeze": "last-stage", "epochs": "1"}
    write_job(base, given, {name: pictures / name for name in COUNTS}, hook=hook)
    done = run_command(
        [sys.executable, "-m", "train"],
        {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": "tiny-1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    saved = Saved(base / "output" / "tensors")
    names = saved.names("train", 0)
    assert "Network_trunk.features.0.weight" in names
    assert "trunk.features.3.squeeze_activation_output_0" in saved.of("relu_output")
    images = saved("trunk_input_0", 0)
    assert images.shape == (8, 3, 32, 32)
    assert np.abs(images.mean()) < 2.2  # normalised, not 0 to 255
    assert (base / "output/tensors/training_job_end.ts").is_file()
    assert "tensors input_image, losses, relu_output, weights: every 100 steps of 5" in done.stdout

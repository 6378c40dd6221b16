"""Tensors of several processes: who saves, under which names, and what belongs to whom."""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recording import LOSS, Saved, hook_for, record, recorder_for, state_for
from training import COUNTS, TINY, job_for, run_command, tiny_run

from contract.opt_ml import write_job
from train.loop import Progressing, fit
from train.stop import Stop
from train.tensor_recorder import TensorRecorder
from train.watch import Watch
from train.watching import build_watch
from train.world import World

SECOND = World(local_rank=1, local_size=2)
ALL, ONE = hook_for(include_workers="all"), hook_for()


def job_with(tmp_path: Path, hook, **changes):
    """A job that saves tensors."""
    job = job_for(tmp_path, tmp_path, **changes)
    return replace(job, hook=hook, outputs=replace(job.outputs, tensors_dir=tmp_path / "tensors"))


def recorder_of(job, world: World) -> TensorRecorder | None:
    return build_watch(job, world)._recorder


@pytest.mark.parametrize(
    ("hook", "unfreeze", "seconds_saves"),
    [(ALL, "all", True), (ONE, "all", False), (ALL, "none", False), (None, "all", False)],
)
def test_only_those_save_that_are_asked_and_learn(tmp_path, hook, unfreeze, seconds_saves):
    job = job_with(tmp_path, hook, unfreeze=unfreeze)
    assert (recorder_of(job, SECOND) is not None) == seconds_saves
    assert (recorder_of(job, World(local_size=2)) is not None) == (hook is not None)


@pytest.fixture(scope="module")
def two(pictures, tmp_path_factory) -> tuple[Path, str]:
    """Two processes of one host fine-tune, and both save."""
    base = tmp_path_factory.mktemp("two") / "ml"
    given = {**TINY, "unfreeze": "all", "epochs": "2", "processes-per-host": "2"}
    hook = hook_for("weights", "gradients", save_interval="1", include_workers="all")
    write_job(base, given, {name: pictures / name for name in COUNTS}, hook=hook)
    done = run_command(
        [sys.executable, "-m", "train"], {"SAGEMAKER_BASE_DIR": str(base), "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return base, done.stdout


def test_each_process_saves_its_share_and_readers_see_one_run(two):
    base, _ = two
    saved = Saved(base / "output" / "tensors")
    rows = [
        json.loads(line) for line in (base / "output/data/metrics.jsonl").read_text().splitlines()
    ]
    assert saved.trial.workers() == ["worker_0", "worker_1"]
    assert saved.steps("train") == list(range(10))
    weight = "Network_trunk.features.0.weight"
    for step in saved.steps("train"):
        ours, theirs = (saved(weight, step, worker=f"worker_{rank}") for rank in (0, 1))
        assert np.array_equal(ours, theirs)
        gradients = [saved(f"gradient/{weight}", step, worker=f"worker_{rank}") for rank in (0, 1)]
        assert not np.array_equal(*gradients)  # each its own, before they are summed
    for epoch, row in enumerate(rows):
        for rank in (0, 1):
            loss = saved(LOSS, epoch, "eval", worker=f"worker_{rank}")
            assert loss == np.float32(row["validation:loss"])
        # Batches of 8, 8, 8, 8 and 4 pictures, halved; each loss is the mean over its own.
        losses = np.array(
            [
                [saved(LOSS, 5 * epoch + step, worker=f"worker_{rank}") for rank in (0, 1)]
                for step in range(5)
            ]
        )
        mean = (losses.mean(axis=1) * [8, 8, 8, 8, 4]).sum() / 36
        assert mean == pytest.approx(row["train:loss"], abs=1e-5)


def test_all_is_over_when_the_job_is(two):
    base, output = two
    tensors = base / "output" / "tensors"
    assert (tensors / "training_job_end.ts").is_file()
    assert not list(tensors.rglob("*.tmp")) + list(tensors.rglob("claim.smd"))
    assert "tensors gradients, losses, weights: every step of 10" in output


def test_a_run_alone_leaves_nothing_of_the_second_process_of_an_earlier_one(tmp_path):
    recorder = recorder_for(tmp_path, ALL, rank=1, num_workers=2)
    fit(state_for(Watch(recorder)), Stop(), Progressing())
    recorder.close()
    assert list(tmp_path.rglob("*worker_1*"))
    record(tmp_path, ONE)
    assert not list(tmp_path.rglob("*worker_1*"))
    assert Saved(tmp_path).trial.workers() == ["worker_0"]


def test_the_first_process_leaves_alone_what_the_second_saves_now(tmp_path):
    """Both begin at the same time, in whatever order."""
    second = recorder_for(tmp_path, ALL, rank=1, num_workers=2)
    fit(state_for(Watch(second)), Stop(), Progressing())
    first = recorder_for(tmp_path, ALL, num_workers=2)
    fit(state_for(Watch(first)), Stop(), Progressing())
    first.close()
    second.close()
    assert Saved(tmp_path).trial.workers() == ["worker_0", "worker_1"]


def test_a_head_alone_is_saved_by_the_leader_and_hides_no_layers(pictures, tmp_path, caplog):
    run = tiny_run(pictures, tmp_path, epochs="2")
    hook = hook_for("relu_output", "weights", "gradients", save_interval="1")
    job = job_with(tmp_path, hook)
    run.state.watch = build_watch(job, World())
    with caplog.at_level(logging.INFO):
        run.fit()
    run.state.watch.close()
    saved = Saved(tmp_path / "tensors")
    assert saved.names("train", 0) == {
        LOSS, "Linear_weight", "gradient/Linear_weight", "gradient/Linear_bias",
        "scalar/learning_rate",
    }  # fmt: skip
    (line,) = [
        one.getMessage() for one in caplog.records if "nothing is called" in one.getMessage()
    ]
    assert "relu_output asks: with unfreeze=none the frozen trunk computes" in line


def test_in_sagemaker_the_service_marks_the_end(tmp_path):
    job = job_with(tmp_path, ONE)
    inside = replace(
        job, name="dogs-1", outputs=replace(job.outputs, model_dir=Path("/opt/ml/model"))
    )
    for one, marks in ((inside, False), (replace(job, name="dogs-1"), True)):
        recorder = recorder_of(one, World())
        fit(state_for(Watch(recorder)), Stop(), Progressing())
        recorder.close()
        assert (tmp_path / "tensors" / "training_job_end.ts").exists() == marks


def test_local_path_moves_the_tensors(tmp_path):
    job = job_with(tmp_path, replace(ONE, local_path=tmp_path / "elsewhere"))
    recorder = recorder_of(job, World())
    fit(state_for(Watch(recorder)), Stop(), Progressing())
    recorder.close()
    assert Saved(tmp_path / "elsewhere").steps("train") == [0]
    assert not (tmp_path / "tensors").exists()

"""Spot: the train image is stopped in an epoch, started again elsewhere, and loses nothing."""

import json
import re
import shutil
from pathlib import Path

import pytest
from containers import build_images, container, mount
from training import TINY

from classifier.classifier import Classifier

pytestmark = pytest.mark.container

# Long enough that a stop comes in between. They get better until the last epochs, so the weights
# that are kept come from after the stop.
BETTER = {"lr": "0.0003", "objective": "validation:loss", "early-stopping-patience": "0"}
JOBS = {
    "features": {**BETTER, "unfreeze": "none", "batch-size": "2", "epochs": "100", "views": "2"},
    "fine-tuning": {**BETTER, "unfreeze": "all", "batch-size": "4", "epochs": "8", "mixup": "0.2"},
}


TMPFS = {name: f"--tmpfs=/opt/ml/{name}:size=4m,mode=1777" for name in ("model", "checkpoints")}


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    build_images()


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest, pictures: Path, tmp_path: Path) -> Path:
    """/opt/ml/input of a job with the channels train and validation."""
    return lay_out(tmp_path / "input", pictures, JOBS[request.param])


def lay_out(folder: Path, pictures: Path, changes: dict[str, str]) -> Path:
    for channel in ("train", "validation"):
        shutil.copytree(pictures / channel, folder / "data" / channel)
    (folder / "config").mkdir()
    configuration = {
        "hyperparameters": {**TINY, **changes},
        "inputdataconfig": {
            name: {"TrainingInputMode": "File"} for name in ("train", "validation")
        },
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"]},
    }
    for name, value in configuration.items():
        (folder / "config" / f"{name}.json").write_text(json.dumps(value))
    return folder


def machine(folder: Path, job: Path, checkpoints: Path | None = None) -> tuple[str, ...]:
    """Options for a container on a new machine: only the input and the checkpoints come along."""
    for name in ("model", "output"):
        (folder / name).mkdir(parents=True)
    places = [mount(folder / name, f"/opt/ml/{name}") for name in ("model", "output")]
    if checkpoints is not None:
        checkpoints.mkdir(exist_ok=True)
        places.append(mount(checkpoints, "/opt/ml/checkpoints"))
    return (mount(job, "/opt/ml/input", "ro"), "--network=none", "--cpus=1", *places)


def train(options: tuple[str, ...]) -> tuple[int, str]:
    """To the end: exit status and log."""
    with container("kennel-train", options=options, published=False) as running:
        return running.wait(), running.log()


def test_a_job_stopped_in_an_epoch_ends_with_the_weights_of_one_that_was_not(job, tmp_path):
    whole, first, second = (tmp_path / name for name in ("whole", "first", "second"))
    assert train(machine(whole, job))[0] == 0

    options = machine(first, job, tmp_path / "checkpoints")
    with container("kennel-train", options=options, published=False) as running:
        running.wait_until(lambda: "\nepoch" in running.log(), "no epoch ended")
        assert running.stop(seconds=30) == 0, running.log()  # 137: it took longer
        assert "checkpoint saved in /opt/ml/checkpoints" in running.log()
    Classifier.load(first / "model")

    code, log = train(machine(second, job, tmp_path / "checkpoints"))
    assert code == 0, log
    found = re.search(r"resume at epoch (\d+), step (\d+), from /opt/ml/checkpoints", log)
    assert found, log
    assert int(found[2]) > 0  # in the middle of it
    manifest = Classifier.load(second / "model").manifest
    assert manifest.provenance["best_epoch"] > int(found[1])
    weights = [folder / "model" / "model.safetensors" for folder in (whole, second)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_disk_too_small_for_the_model_is_one_line(pictures, tmp_path):
    job = lay_out(tmp_path / "input", pictures, {"epochs": "1"})
    options = machine(tmp_path / "ml", job)
    options = (*(word for word in options if "/opt/ml/model" not in word), TMPFS["model"])
    code, log = train(options)
    assert code == 1, log
    assert re.fullmatch(
        r"cannot write the bundle to /opt/ml/model: it takes about \d+ MB and \d MB are free: "
        r"give the job a larger volume",
        (tmp_path / "ml" / "output" / "failure").read_text(),
    )


def test_a_disk_too_small_for_a_checkpoint_is_one_line(pictures, tmp_path):
    job = lay_out(tmp_path / "input", pictures, JOBS["fine-tuning"])
    options = (*machine(tmp_path / "ml", job), TMPFS["checkpoints"])
    with container("kennel-train", options=options, published=False) as running:
        running.wait_until(lambda: "\nepoch" in running.log(), "no epoch ended")
        assert running.stop() == 1, running.log()
    assert re.fullmatch(
        r"cannot write /opt/ml/checkpoints/checkpoint\.safetensors: No space left on device; "
        r"\d+ MB are free there: give the job a larger volume",
        (tmp_path / "ml" / "output" / "failure").read_text(),
    )

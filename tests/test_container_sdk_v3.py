"""The images as SageMaker's Python SDK v3 runs them: ModelTrainer in local container mode."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import build_images
from local_mode import Job, Sdk, accuracy, examples, metrics_in, sdk

pytestmark = pytest.mark.container

CHANNELS = ("train", "validation", "test")
LABELS = ["bars", "disc", "rings"]
# As a user gives them, of any type: the SDK turns each into its own idea of a string.
HYPERPARAMETERS = {
    "arch": "squeezenet1_1",
    "pretrained": False,
    "use_weighted_loss": True,
    "label-smoothing": 0.1,
    "image-size": 32,
    "epochs": 6,
    "batch-size": 8,
    "lr": 0.01,
}


@pytest.fixture(scope="module")
def sdk3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    build_images()
    with sdk("sdk3", tmp_path_factory.mktemp("sdk3")) as running:
        yield running


@pytest.fixture(scope="module")
def trained(sdk3: Sdk, pictures: Path) -> Job:
    """A job on one host, by the image's own CMD. Others serve what it made."""
    return sdk3.fit(pictures, *CHANNELS, hyperparameters=HYPERPARAMETERS)


def test_the_images_own_command_trains(trained):
    assert trained.error == ""
    assert [host.exit_code for host in trained.hosts()] == [0]
    manifest = trained.manifest()
    assert manifest["labels"] == LABELS
    said = metrics_in(trained.log())["test:accuracy"]
    assert said == pytest.approx(manifest["metrics"]["test:accuracy"], abs=1e-6)


def test_hyperparameters_of_any_python_type_arrive(trained):
    values = trained.config()["hyperparameters"]
    assert (values["pretrained"], values["balance"]) == ("false", "weights")
    assert (values["label-smoothing"], values["arch"]) == ("0.1", "squeezenet1_1")


def test_train_as_the_command_of_source_code_trains(sdk3, pictures):
    command = "cat /opt/ml/input/config/resourceconfig.json; train"
    job = sdk3.fit(pictures, *CHANNELS, hyperparameters=HYPERPARAMETERS, command=command)
    assert job.error == ""
    assert job.manifest()["labels"] == LABELS
    # An interface that no container has, and a channel of the SDK's own scripts.
    assert '"network_interface_name": "ethwe"' in job.log()
    assert "sm_drivers" in job.log()
    assert job.config()["channels"].keys() == set(CHANNELS)


def test_two_hosts_train_one_bundle(sdk3, pictures):
    given = HYPERPARAMETERS | {"unfreeze": "all", "epochs": 2}  # gradients cross the network
    job = sdk3.fit(pictures, *CHANNELS, hosts=2, hyperparameters=given)
    assert job.error == ""
    leader, follower = job.hosts()
    assert (leader.name, follower.name) == ("algo-1", "algo-2")
    assert (leader.exit_code, follower.exit_code) == (0, 0)

    assert metrics_in(leader.log)["test:accuracy"] == pytest.approx(
        job.manifest()["metrics"]["test:accuracy"], abs=1e-6
    )
    assert metrics_in(follower.log) == {}  # a metric is told once
    assert "rank 0 of 2" in leader.log
    assert "rank 1 of 2" in follower.log


def test_a_failed_job_says_why(sdk3, pictures):
    given = HYPERPARAMETERS | {"optimiser": "sgd"}
    job = sdk3.fit(pictures, "train", hyperparameters=given)
    assert "exited with code: 1" in job.error
    assert len(job.failure().splitlines()) == 1
    assert "optimizer" in job.failure()


def test_an_endpoint_is_as_accurate_as_training_said(sdk3, trained, pictures):
    answers = sdk3.predict("kennel-serve-cpu", trained, examples(pictures))
    assert {answer["status"] for answer in answers} == {200}
    bodies = [json.loads(answer["body"]) for answer in answers]
    said = trained.manifest()["metrics"]["test:accuracy"]
    assert accuracy(bodies, pictures) == pytest.approx(said, abs=1e-6)

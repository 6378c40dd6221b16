"""The images as SageMaker's Python SDK v2 runs them in Local Mode: a client nobody here wrote."""

import json
import shutil
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
# Writes down how it was called.
SCRIPT = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
for name in ("yes", "rate", "word"):
    parser.add_argument("--" + name)
told = vars(parser.parse_args())
told["classes"] = sorted(os.listdir(os.environ["SM_CHANNEL_TRAIN"]))
told["beside"] = pathlib.Path(__file__).with_name("beside.txt").read_text()
pathlib.Path(os.environ["SM_MODEL_DIR"], "told.json").write_text(json.dumps(told))
"""


@pytest.fixture(scope="module")
def sdk2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    build_images()
    with sdk("sdk2", tmp_path_factory.mktemp("sdk2")) as running:
        yield running


@pytest.fixture(scope="module")
def trained(sdk2: Sdk, pictures: Path) -> Job:
    """A job on one host. Others serve what it made."""
    return sdk2.fit(pictures, *CHANNELS, hyperparameters=HYPERPARAMETERS)


@pytest.fixture(scope="module", params=["kennel-serve-cpu", "kennel-serve"])
def answers(request, sdk2: Sdk, trained: Job, pictures: Path, tmp_path_factory) -> list[dict]:
    """An endpoint's answers to the test pictures and, last, to something else."""
    text = tmp_path_factory.mktemp("text") / "text.jpg"
    text.write_text("no picture")
    return sdk2.predict(request.param, trained, [*examples(pictures), (text, "image/jpeg")])


def test_one_host_trains_a_bundle(trained):
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


def test_two_hosts_train_one_bundle(sdk2, pictures):
    given = HYPERPARAMETERS | {"unfreeze": "all", "epochs": 2}  # gradients cross the network
    job = sdk2.fit(pictures, *CHANNELS, hosts=2, hyperparameters=given)
    assert job.error == ""
    leader, follower = job.hosts()
    assert (leader.exit_code, follower.exit_code) == (0, 0)
    assert leader.name.startswith("algo-1-")
    assert follower.name.startswith("algo-2-")

    assert metrics_in(leader.log)["test:accuracy"] == pytest.approx(
        job.manifest()["metrics"]["test:accuracy"], abs=1e-6
    )
    assert metrics_in(follower.log) == {}  # a metric is told once
    assert "rank 0 of 2" in leader.log
    assert "rank 1 of 2" in follower.log


def test_an_endpoint_is_as_accurate_as_training_said(answers, trained, pictures):
    told = answers[:-1]
    assert {answer["status"] for answer in told} == {200}
    said = trained.manifest()["metrics"]["test:accuracy"]
    assert accuracy([answer["body"] for answer in told], pictures) == pytest.approx(said, abs=1e-6)


def test_an_endpoint_says_what_is_wrong_with_a_request(answers):
    refused = answers[-1]
    assert refused["status"] == 400
    assert "picture" in refused["body"]["message"]


@pytest.mark.parametrize("strategy", ["SingleRecord", None])  # None: the server is asked
def test_a_batch_transform_answers_every_picture(sdk2, trained, pictures, tmp_path, strategy):
    jpegs = {path.name: path for path, kind in examples(pictures) if kind == "image/jpeg"}
    for name, path in jpegs.items():
        shutil.copyfile(path, tmp_path / name)
    found = sdk2.transform("kennel-serve-cpu", trained, tmp_path, strategy)
    assert found.keys() == jpegs.keys()
    assert {item["predictions"][0]["label"] for item in found.values()} <= set(LABELS)


@pytest.mark.parametrize(
    ("channel", "hyperparameters", "reason"),
    [
        ("train", {"optimiser": "sgd"}, "optimizer"),
        ("train/bars", {}, "two classes"),
    ],
)
def test_a_failed_job_says_why(sdk2, pictures, tmp_path, channel, hyperparameters, reason):
    shutil.copytree(pictures / channel, tmp_path / "train" / channel.partition("/")[2])
    given = HYPERPARAMETERS | hyperparameters
    job = sdk2.fit(tmp_path, "train", hyperparameters=given)
    assert "exited with code: 1" in job.error
    assert len(job.failure().splitlines()) == 1
    assert reason in job.failure()
    assert job.failure().strip() in job.log()


def test_script_mode_runs_a_users_own_script(sdk2, pictures, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "train.py").write_text(SCRIPT)
    (source / "beside.txt").write_text("here")
    given = {"yes": True, "rate": 0.1, "word": "x"}
    job = sdk2.fit(
        pictures,
        "train",
        hyperparameters=given,
        entry_point="train.py",
        source_dir=str(source),
    )
    assert job.error == ""
    told = json.loads((job.unpack("model.tar.gz") / "told.json").read_text())
    assert told == {
        "yes": "True",
        "rate": "0.1",
        "word": "x",
        "classes": LABELS,
        "beside": "here",
    }

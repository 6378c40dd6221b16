"""`train` from end to end: as a process of its own where that matters, in this one elsewhere."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kinds import encode, kind
from serving import client_for, free_port
from training import (
    REPOSITORY,
    SDK,
    TINY,
    WAIT_SECONDS,
    draw,
    failure,
    flags,
    lay_out,
    metric_lines,
    run_command,
    run_job,
    tiny_run,
)

from classifier.classifier import Classifier
from contract.metrics import METRIC_BY_NAME
from train.checkpoint import CHECKPOINT_NAME

TRAIN = [sys.executable, "-m", "train"]
REPORTS = {
    "config.json",
    "metrics.csv",
    "metrics.jsonl",
    "curves.png",
    "confusion.png",
    "report.html",
}


@pytest.fixture(scope="module")
def sagemaker_job(pictures, tmp_path_factory):
    """A finished job as SageMaker runs it: its base folder and its process."""
    base = lay_out(tmp_path_factory.mktemp("job") / "ml", pictures, SDK)
    environment = {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": "pets-1"}
    return base, run_command(TRAIN, environment)


def test_a_job_of_sagemaker_trains_and_leaves_what_it_promises(sagemaker_job):
    base, done = sagemaker_job
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    metrics = metric_lines(done.stdout)
    assert {name for name, _ in metrics} == set(METRIC_BY_NAME)
    assert metrics[-1][0] == "test:accuracy"
    assert done.stdout.rstrip().endswith(f"test:accuracy={metrics[-1][1]:.6f};")
    assert metrics[-1][1] >= 0.9
    assert {path.name for path in (base / "output" / "data").iterdir()} >= REPORTS
    assert not (base / "output" / "failure").exists()
    config = json.loads((base / "output" / "data" / "config.json").read_text())
    assert config["job"] == "pets-1"
    assert config["hyperparameters"]["optimizer"] == "adamw"
    manifest = Classifier.load(base / "model").manifest
    assert manifest.metrics["test:accuracy"] == pytest.approx(metrics[-1][1], abs=1e-6)
    assert [path for path in (base / "model").iterdir() if path.name.startswith(".")] == []


def test_flags_describe_the_same_job_and_the_same_seed_gives_the_same_bits(
    pictures, sagemaker_job, tmp_path
):
    """That job ran in a process of its own, this one runs here."""
    code, output = run_job(flags(pictures, tmp_path, epochs="6"))
    assert code == 0, output
    files = [folder / "model" / "model.safetensors" for folder in (sagemaker_job[0], tmp_path)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_same_seed_gives_the_same_bits_when_fine_tuning(pictures, tmp_path):
    settings = {"unfreeze": "all", "augment": "crop_color", "arch": "shufflenet_v2_x0_5"}
    states = [tiny_run(pictures, tmp_path, **settings).fit().state_dict() for _ in range(2)]
    assert all(states[0][name].equal(states[1][name]) for name in states[0])


def test_another_seed_gives_other_weights(pictures, tmp_path):
    heads = [tiny_run(pictures, tmp_path, seed=seed, epochs="1").fit().head for seed in ("0", "1")]
    assert not heads[0].weight.equal(heads[1].weight)


def test_the_trained_bundle_is_served_and_knows_its_classes(tiny_bundle):
    client = client_for(tiny_bundle)
    for name in ("bars", "disc", "rings"):
        data = encode(draw(name, 1000), "PNG")
        reply = client.post("/invocations", data=data, content_type="image/png")
        assert reply.json["predictions"][0]["label"] == name


def test_a_misspelt_hyperparameter_fails_with_the_suggestion_alone(pictures, tmp_path):
    base = lay_out(tmp_path / "ml", pictures, {"epohcs": '"3"'})
    done = run_command(TRAIN, {"SAGEMAKER_BASE_DIR": str(base)})
    line = failure(base / "output")
    assert done.returncode == 2
    assert "did you mean 'epochs'?" in line
    assert done.stdout == f"failed: {line}\n"
    assert done.stderr == ""


def test_weights_that_cannot_be_fetched_fail_with_the_three_ways(pictures, tmp_path):
    base = lay_out(tmp_path / "ml", pictures, {**TINY, "pretrained": "true"})
    closed = f"http://127.0.0.1:{free_port()}"
    done = run_command(
        TRAIN,
        {
            "SAGEMAKER_BASE_DIR": str(base),
            "TORCH_HOME": str(tmp_path / "cache"),
            **dict.fromkeys(("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), closed),
            **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
        },
    )
    line = failure(base / "output")
    assert done.returncode == 2, done.stdout
    assert "no pretrained weights for squeezenet1_1" in line
    for way in ("a channel 'pretrained'", "/squeezenet1_1.pth in the image", "internet access"):
        assert way in line
    assert "Traceback" not in done.stdout
    assert not (base / "model" / "bundle.json").exists()


def refused(words: list[str], code: int, message: str) -> None:
    got, output = run_job(words)
    assert got == code, output
    assert message in output.splitlines()[-1]
    assert "Traceback" not in output


def test_what_a_job_lacks_is_said_in_its_last_line(pictures, tmp_path):
    words = flags(pictures, tmp_path)
    without_train = [*words[: words.index("--train")], *words[words.index("--train") + 2 :]]
    refused(without_train, 2, "failed: expected --train DIR, got none")
    (tmp_path / "empty").mkdir()
    refused([*words, "--train", str(tmp_path / "empty")], 2, "channel 'train'")
    refused([*words, "--arch", "resnet51"], 2, "did you mean 'resnet50'?")
    refused([*words, "--precision", "fp16"], 2, "expected auto, fp32 or bf16 on a CPU")
    refused([*words, "--num-classes", "4"], 2, "expected 3, the classes of the train channel")


def test_a_job_without_channels_says_which_is_missing(tmp_path, monkeypatch):
    base = lay_out(tmp_path / "ml", tmp_path, {}, "lists")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
    assert run_job([])[0] == 2
    assert "channel 'train' is missing (channels given: lists; looked for " in failure(
        base / "output"
    )


def test_a_model_folder_that_cannot_be_written_fails_before_the_work(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    words = [*flags(pictures, tmp_path), "--model-dir", str(tmp_path / "file" / "model")]
    code, output = run_job(words)
    assert code == 1
    assert failure(tmp_path / "output").startswith(f"cannot write {tmp_path}/file/model: Not a dir")
    assert "epoch" not in output


def test_a_job_that_diverges_says_so_in_one_line(pictures, tmp_path):
    words = flags(pictures, tmp_path, lr="9", optimizer="sgd", unfreeze="all", warmup_epochs="0")
    refused(words, 2, "training diverged: the loss is")
    assert "lower lr (now 9)" in failure(tmp_path / "output")
    assert not (tmp_path / "model" / "bundle.json").exists()


def test_without_validation_a_share_is_held_out_and_its_list_saved(pictures, tmp_path):
    words = ["--train", str(pictures / "train"), "--model-dir", str(tmp_path / "m")]
    words += ["--output-dir", str(tmp_path / "o")]
    words += [word for name, text in TINY.items() for word in (f"--{name}", text)]
    code, output = run_job(words)
    assert code == 0, output
    assert "30 train, 6 validation (held out)" in output
    held = json.loads((tmp_path / "o" / "validation_holdout.json").read_text())
    assert [picture["class_index"] for picture in held["pictures"]] == [0, 0, 1, 1, 2, 2]
    assert all((pictures / "train" / picture["file"]).is_file() for picture in held["pictures"])
    assert metric_lines(output)[-1][0] == "validation:accuracy"


def test_unreadable_pictures_are_counted_and_listed(pictures, tmp_path):
    for name in ("train", "validation", "test"):
        (tmp_path / "p" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "p" / name).symlink_to(pictures / name)
    (tmp_path / "p" / "train").unlink()
    for path in sorted((pictures / "train").glob("*/*")):
        copy = tmp_path / "p" / "train" / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "p" / "train" / "disc" / "zz.jpg").write_bytes(kind("jpeg")[:500])
    code, output = run_job(flags(tmp_path / "p", tmp_path))
    assert code == 0, output
    assert "train: 1 of 37 pictures are unreadable" in output
    assert "zz.jpg" in (tmp_path / "output" / "unreadable.csv").read_text()


SETTINGS = [
    {"optimizer": "sgd", "lr": "0.1", "schedule": "step", "lr_step_epochs": "1,2"},
    {"optimizer": "nag", "gradient_clip": "1", "schedule": "constant", "head_init": "xavier"},
    {"optimizer": "adam", "balance": "weights", "label_smoothing": "0"},
    {"optimizer": "rmsprop", "balance": "sampler", "objective": "validation:loss"},
    {"augment": "crop", "views": "3", "mixup": "0.2"},
    {"augment": "crop_color", "ema_decay": "0.9", "arch": "shufflenet_v2_x0_5"},
    {"augment": "crop_color_transform", "early_stopping_patience": "1"},
    {"randaugment": "9", "random_erasing": "1", "arch": "resnet18", "batch_size": "7"},
    {"views": "2", "gradient_accumulation": "2", "batch_size": "100"},
    {"max_train_seconds": "0.001", "warmup_epochs": "0.5"},
]


@pytest.mark.parametrize("unfreeze", ["none", "last-stage"])
@pytest.mark.parametrize("changes", SETTINGS, ids=lambda changes: "-".join(changes))
def test_every_setting_trains_on_both_paths(pictures, tmp_path, changes, unfreeze):
    if unfreeze != "none":
        changes = {name: text for name, text in changes.items() if name != "views"}
    settings = {"epochs": "2", "lr": "0.005", "unfreeze": unfreeze, **changes}
    run = tiny_run(pictures, tmp_path, **settings)
    network = run.fit()
    assert 1 <= len(run.state.rows) <= 2
    scores = run.learner.judge(run.data.test).scores
    assert scores.probabilities.shape == (15, 3)
    assert scores.probabilities.isfinite().all()
    assert network.head.out_features == 3


def test_bf16_trains_and_the_bundle_agrees_with_it(pictures, tmp_path):
    code, output = run_job(flags(pictures, tmp_path, precision="bf16", epochs="6"))
    assert code == 0, output
    assert "cpu, bf16" in output
    assert dict(metric_lines(output))["test:accuracy"] >= 0.9
    Classifier.load(tmp_path / "model")


def wait_for(path: Path, words: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while words not in path.read_text() and time.monotonic() < deadline:
        assert process.poll() is None, path.read_text()
        time.sleep(0.02)


def test_a_stopped_job_keeps_its_best_weights_and_a_checkpoint(pictures, tmp_path):
    words = flags(pictures, tmp_path, epochs="100000", early_stopping_patience="0")
    words += ["--checkpoint-dir", str(tmp_path / "checkpoints")]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*TRAIN, *words], cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(log, "epoch      3/100000", process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0, log.read_text()
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)
    assert (tmp_path / "checkpoints" / CHECKPOINT_NAME).is_file()
    assert Classifier.load(tmp_path / "model").manifest.provenance["best_epoch"] >= 1
    more = [*words, "--max-train-seconds", "0.001"]
    code, text = run_job(more)
    assert code == 0, text
    assert "resume at epoch" in text

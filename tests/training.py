"""For the tests of train/ and classifier/: a data set, jobs on it, and training in this process."""

import contextlib
import io
import itertools
import json
import logging
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from kinds import encode
from PIL import Image

from classifier.network import Network
from contract.hyperparameters import parse_hyperparameters
from contract.job import Channel, Outputs, TrainingJob
from contract.manifest import Manifest, Preprocess, Probe
from contract.metrics import read_metrics
from contract.opt_ml import write_job
from train.channels import read_data
from train.data import JobData, Picture, Split
from train.device import Device
from train.learner import Learner
from train.loop import Fit, Progressing, fit
from train.main import run
from train.process import build_learner
from train.progress import Progress
from train.start import Start, start_network
from train.stop import Stop

REPOSITORY = Path(__file__).resolve().parents[1]
CLASSES = ("bars", "disc", "rings")
COUNTS = {"train": 12, "validation": 5, "test": 5}  # pictures of each class
WAIT_SECONDS = 120
CPU = Device(torch=torch.device("cpu"), dtype=torch.float32, cpus=2, why="cpu")
# What every tiny job here shares: no weights to download, small pictures, exact arithmetic.
TINY = {
    "quantize": "none",  # NNCF alone takes seconds to import
    "arch": "squeezenet1_1",
    "pretrained": "false",
    "image-size": "32",
    "epochs": "3",
    "batch-size": "8",
    "lr": "0.01",
    "precision": "fp32",
}


def draw(name: str, number: int) -> Image.Image:
    """One picture of a class: its shape and a tint, anywhere, on noise."""
    random = np.random.default_rng([CLASSES.index(name), number])
    y, x = np.mgrid[0:40, 0:48]
    distance = np.hypot(x - random.integers(18, 30), y - random.integers(15, 25))
    inside = {
        "bars": x // 5 % 2 == 0,
        "disc": distance < random.integers(9, 14),
        "rings": distance // 4 % 2 == 0,
    }[name]
    pixels = random.integers(90, 150, (40, 48, 3))
    pixels[inside, CLASSES.index(name)] += 90
    return Image.fromarray(pixels.astype(np.uint8))


def write_pictures(root: Path) -> Path:
    """`root`/{train,validation,test}/CLASS/*.png|jpg."""
    numbers = itertools.count()
    for split, count in COUNTS.items():
        for name in CLASSES:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in itertools.islice(numbers, count):
                ending, form = ("jpg", "JPEG") if number % 2 else ("png", "PNG")
                (folder / f"{number:03}.{ending}").write_bytes(encode(draw(name, number), form))
    return root


def job_for(pictures: Path, out: Path, splits: tuple[str, ...] = (), **changes: str) -> TrainingJob:
    """A tiny job on the data set; `changes` are hyperparameters, `_` for `-`."""
    given = {**TINY, **{name.replace("_", "-"): text for name, text in changes.items()}}
    return TrainingJob(
        name="tiny",
        hyperparameters=parse_hyperparameters(given),
        channels={
            name: Channel(name=name, path=pictures / name) for name in splits or tuple(COUNTS)
        },
        outputs=Outputs(
            model_dir=out / "model",
            data_dir=out / "output",
            failure_file=out / "output" / "failure",
            checkpoint_dir=None,
        ),
    )


@dataclass(kw_only=True)
class Tiny:
    """A run in this process, up to where it would begin to learn."""

    job: TrainingJob
    data: JobData
    start: Start
    learner: Learner
    state: Fit

    def fit(self, stop: Stop | None = None, outside: Progressing | None = None) -> Network:
        """Train as process.py does, without its checkpoints, files and lines."""
        fit(self.state, stop or Stop(), outside or Progressing())
        return self.learner.finish(self.state.best_state)


def tiny_run(pictures: Path, out: Path, **changes: str) -> Tiny:
    """Everything before the first step."""
    torch.set_num_threads(1)  # two would wait for each other on a busy machine
    job = job_for(pictures, out, **changes)
    data = read_data(job, out / "work")
    start = start_network(job, data.labels, out / "work")
    learner = build_learner(start, data, CPU, Progress(enabled=False))
    state = Fit(task=learner.task, values=learner.values, device=CPU)
    return Tiny(job=job, data=data, start=start, learner=learner, state=state)


def split_of(*paths: Path, name: str = "test") -> Split:
    """Pictures in the order given, all of class 0."""
    return Split(name=name, pictures=tuple(Picture(path=path, class_index=0) for path in paths))


def manifest_for(arch: str, labels: tuple[str, ...], preprocess: Preprocess) -> Manifest:
    """A manifest as training would hand it to `export_bundle`."""
    blank = Probe(probabilities=(0.0,) * len(labels))
    return Manifest(arch=arch, labels=labels, preprocess=preprocess, probe=blank, files={})


def flags(pictures: Path, out: Path, *more: str, **changes: str) -> list[str]:
    """The same tiny job as flags of `python -m train`."""
    given = {**TINY, **{name.replace("_", "-"): text for name, text in changes.items()}}
    words = [word for name, text in given.items() for word in (f"--{name}", text)]
    for split in COUNTS:
        words += [f"--{split}", str(pictures / split)]
    return [*words, "--model-dir", str(out / "model"), "--output-dir", str(out / "output"), *more]


def run_job(arguments: list[str]) -> tuple[int, str]:
    """`python -m train` in this process: exit code and stdout."""
    output, logger = io.StringIO(), logging.getLogger("train")
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        with contextlib.redirect_stdout(output):
            code = run(arguments)
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
    return code, output.getvalue()


def run_command(
    command: list[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A process of its own, in the repository, without SageMaker's variables of our caller."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("SAGEMAKER")}
    return subprocess.run(
        command,
        env={**clean, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


def lay_out(base: Path, pictures: Path, hyperparameters: dict[str, str], *splits: str) -> Path:
    """The job below `base` as SageMaker would lay it out."""
    channels = {name: pictures / name for name in splits or COUNTS}
    # The toolkit waits for the hosts of a job to have addresses before it runs a user's script.
    write_job(base, hyperparameters, channels, hosts=("localhost",), current_host="localhost")
    return base


def metric_lines(output: str) -> list[tuple[str, float]]:
    """Every metric that SageMaker's regexes find, in order."""
    return [pair for line in output.splitlines() for pair in read_metrics(line).items()]


def failure(folder: Path) -> str:
    """The one line that a failed job leaves."""
    text = (folder / "failure").read_text()
    assert len(text.splitlines()) == 1
    assert "Traceback" not in text
    return text


# The SDK JSON-encodes every string once more; a tuner's words come encoded twice.
SDK = {name: json.dumps(text) for name, text in TINY.items()} | {
    "optimizer": json.dumps(json.dumps("adamw")),
    "epochs": "6",
    "sagemaker_program": "",
    "sagemaker_region": '"eu-west-1"',
    "_tuning_objective_metric": "validation:accuracy",
}

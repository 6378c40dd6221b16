"""Dogs: does the server answer as the network was trained? Real pictures, real weights, five seeds.

KENNEL_DOGS names a folder with train, valid and test below it, KENNEL_WEIGHTS a torchvision
squeezenet1_1 state dict. Without them this part is left out, and says so.
"""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.layout import cpu_only
from benchmarks.load import ask
from benchmarks.servers import ROOT, Started, our_server, top_label
from benchmarks.terminal import say

ARCH = "squeezenet1_1"
TRAIN_SECONDS = 600
PREDICTIONS = "predictions_test.csv"


@dataclass(slots=True, kw_only=True)
class Dogs:
    """A value a seed."""

    agreement: list[float] = field(default_factory=list)  # served default, network as trained
    accuracy: list[float] = field(default_factory=list)  # of the served default engine
    twin_accuracy: list[float] = field(default_factory=list)  # trained and served in f32
    num_pictures: int = 0
    why_not: str = ""

    @property
    def gap(self) -> float:
        """How much lower the mean accuracy is than the twin's; below 0 when it is higher."""
        return _mean(self.twin_accuracy) - _mean(self.accuracy)


def measure_dogs(folder: Path, seeds: int) -> Dogs:
    """Train with every seed, as it comes and in f32 alone; serve both; ask every test picture."""
    data, weights = os.environ.get("KENNEL_DOGS", ""), os.environ.get("KENNEL_WEIGHTS", "")
    if not data or not weights:
        return Dogs(why_not="KENNEL_DOGS and KENNEL_WEIGHTS name no data")
    pictures = sorted((Path(data) / "test").rglob("*.jpg"))
    if not pictures or not Path(weights).is_file():
        return Dogs(why_not=f"{data} has no test pictures, or {weights} is no file")
    dogs = Dogs(num_pictures=len(pictures))
    for seed in range(seeds):
        trained = _train(folder / f"default-{seed}", Path(data), Path(weights), seed, "auto")
        if not (trained / "output" / PREDICTIONS).is_file():
            return Dogs(why_not=f"training wrote no {PREDICTIONS} to compare with")
        answers = _answers(trained, pictures, "auto")
        as_trained = _predictions(trained / "output" / PREDICTIONS)
        same = [answers[path] == as_trained[f"{path.parent.name}/{path.name}"] for path in pictures]
        twin = _train(folder / f"f32-{seed}", Path(data), Path(weights), seed, "none")
        dogs.agreement.append(_mean(same))
        dogs.accuracy.append(_accuracy(answers))
        dogs.twin_accuracy.append(_accuracy(_answers(twin, pictures, "f32")))
        say(
            f"dogs, seed {seed}: agreement {dogs.agreement[-1]:.3f}, accuracy "
            f"{dogs.accuracy[-1]:.3f}, f32 twin {dogs.twin_accuracy[-1]:.3f}"
        )
    return dogs


def _train(folder: Path, data: Path, weights: Path, seed: int, quantize: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "train", "--arch", ARCH, "--pretrained", str(weights)]
    for channel, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        command += [f"--{channel}", str(data / name)]
    command += ["--model-dir", str(folder / "model"), "--output-dir", str(folder / "output")]
    command += ["--seed", str(seed), "--quantize", quantize]
    with (folder / "train.log").open("wb") as log:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=cpu_only(),
            stdout=log,
            stderr=log,
            timeout=TRAIN_SECONDS,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"training failed; see {folder / 'train.log'}")
    return folder


def _answers(trained: Path, pictures: Sequence[Path], variant: str) -> dict[Path, str]:
    """The served label of every picture."""
    server = our_server(trained, variant)
    started: Started = server.start(trained / f"server-{variant}", trained)
    try:
        started.wait_ready(pictures[0].read_bytes())
        return {
            path: top_label(ask(started.port, server.request(path.read_bytes()))[1])
            for path in pictures
        }
    finally:
        started.process.stop()


def _predictions(path: Path) -> dict[str, str]:
    """What training's own network said of the test pictures: class/name to label."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            "/".join(Path(row["picture"]).parts[-2:]): row["predicted"]
            for row in csv.DictReader(file)
        }


def _accuracy(answers: dict[Path, str]) -> float:
    return _mean([label == path.parent.name for path, label in answers.items()])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

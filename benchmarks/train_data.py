"""Data of the training benchmark: the dogs, or as many generated pictures; random weights."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.layout import cpu_only
from benchmarks.pictures import write_channel
from benchmarks.servers import ROOT
from benchmarks.terminal import say

ARCH, REAL_ARCH = "resnet50", "squeezenet1_1"
NUM_LABELS = 105  # of generated pictures, as many as the dogs have here
PER_LABEL = {"train": 6, "validation": 2}
WEIGHTS_SECONDS = 300
WRITE_WEIGHTS = (
    "import sys, torch; from benchmarks.model import random_trunk; "
    "torch.save(random_trunk().state_dict(), sys.argv[1])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What jobs are given."""

    title: str
    channels: Mapping[str, Path]  # train, validation, and pretrained: a random resnet50
    real: Mapping[str, Path] | None  # the same with squeezenet1_1's real weights, if at hand

    def count(self, channel: str) -> int:
        """Pictures in a channel."""
        return len(_pictures(self.channels[channel]))

    @property
    def pictures_an_epoch(self) -> int:
        """Of training and of validation."""
        return self.count("train") + self.count("validation")


def find_data(folder: Path) -> Data:
    """KENNEL_DOGS' and KENNEL_WEIGHTS', or generated ones written below `folder` once."""
    dogs, weights = os.environ.get("KENNEL_DOGS", ""), os.environ.get("KENNEL_WEIGHTS", "")
    pretrained = _random_weights(folder / "resnet50.pth")
    if dogs and _pictures(Path(dogs) / "train"):
        channels = {"train": Path(dogs) / "train", "validation": Path(dogs) / "valid"}
        real = {**channels, "pretrained": Path(weights)} if Path(weights).is_file() else None
        title = "photographs of dogs"
    else:
        channels = _generated(folder / "generated")
        real, title = None, "generated pictures"
    return Data(title=title, channels={**channels, "pretrained": pretrained}, real=real)


def small(data: Data, folder: Path) -> Data:
    """A part of it, to see that all works."""
    channels = part_of(data.channels, folder, 32)
    real = None if data.real is None else {**channels, "pretrained": data.real["pretrained"]}
    return replace(data, title=f"a few {data.title}", channels=channels, real=real)


def part_of(channels: Mapping[str, Path], folder: Path, num_labels: int) -> dict[str, Path]:
    """The first labels alone: at most four training and one validation picture of each."""
    found = dict(channels)
    for channel, most in (("train", 4), ("validation", 1)):
        found[channel] = folder / channel
        labels = sorted(path for path in channels[channel].iterdir() if path.is_dir())
        for label in labels[:num_labels]:
            for picture in _pictures(label)[:most]:
                copy = folder / channel / label.name / picture.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(picture.read_bytes())
    return found


def _generated(folder: Path) -> dict[str, Path]:
    labels = tuple(f"label-{index:03d}" for index in range(NUM_LABELS))
    if not (folder / "done").is_file():
        say("writing generated pictures")
        for channel, count in PER_LABEL.items():
            for number in range(count):
                seed = 10 * len(channel) + number
                write_channel(folder / channel, labels, NUM_LABELS, seed=seed)
        (folder / "done").touch()
    return {channel: folder / channel for channel in PER_LABEL}


def _random_weights(path: Path) -> Path:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        command = [sys.executable, "-c", WRITE_WEIGHTS, str(unfinished)]
        subprocess.run(command, check=True, timeout=WEIGHTS_SECONDS, cwd=ROOT, env=cpu_only())
        unfinished.replace(path)
    return path


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))

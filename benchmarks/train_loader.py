"""Does the loader keep up? Fine-tuning from files beside the same steps on pictures in memory.

On a GPU where there is one, in bfloat16 and compiled; else on the processors.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.many import write_many
from benchmarks.rounds import middle
from benchmarks.terminal import say
from benchmarks.train_data import ARCH, Data, part_of
from benchmarks.train_job import Job, our_command
from classifier.gpu import find_gpu

TARGET = 0.9
NUM_LABELS = 32  # 128 training pictures, for processors
GPU_PICTURES = 8_000
GPU_BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """Pictures a second, a value a round."""

    device: str
    is_compiled: bool
    epochs: Sequence[float]
    alone: Sequence[float]

    @property
    def shares(self) -> tuple[float, ...]:
        """The speed of an epoch in shares of what its steps alone would do."""
        return tuple(epoch / alone for epoch, alone in zip(self.epochs, self.alone, strict=True))

    def bars(self) -> Iterator[Bar]:
        """The share."""
        value = middle(self.shares)
        yield Bar(name="train-loader-of-step", value=value, target=TARGET, values=self.shares)


def measure_loader(data: Data, folder: Path, rounds: int) -> Loader:
    """The first epoch does not count: it warms up, and compiles."""
    shutil.rmtree(folder, ignore_errors=True)
    is_gpu = find_gpu().is_usable
    is_compiled = is_gpu and shutil.which("cc") is not None
    values = {
        "arch": ARCH,
        "epochs": rounds + 1,
        "unfreeze": "all",
        "augment": "crop",
        "early-stopping-patience": 0,
        "compile": str(is_compiled).lower(),
        **({"batch-size": GPU_BATCH} if is_gpu else {}),
    }
    channels = _many(data, folder) if is_gpu else part_of(data.channels, folder, NUM_LABELS)
    flags = our_command(channels, folder, values)
    command = [sys.executable, "-m", "benchmarks.train_fed", str(folder), "--", *flags[3:]]
    # A job here sees no GPU unless it is told.
    seen = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0")} if is_gpu else {}
    cache = {"KENNEL_CACHE_DIR": str(folder / "cache")}
    told = json.loads(Job.run("loader", command, folder, {**cache, **seen}).lines[-1][1])
    found = Loader(
        device=told["why"],
        is_compiled=is_compiled,
        epochs=told["epochs"][1:],
        alone=told["alone"][1:],
    )
    say(f"fine-tuning on {found.device}: {middle(found.shares):.3f} of the steps alone")
    return found


def _many(data: Data, folder: Path) -> Mapping[str, Path]:
    return {
        **data.channels,
        "train": write_many(folder / "train", GPU_PICTURES),
        "validation": write_many(folder / "validation", GPU_BATCH, seed=1),
    }

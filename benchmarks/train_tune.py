"""Twenty trials of five epochs with `kennel tune`, against twenty runs of the ordinary script."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.terminal import say
from benchmarks.train_data import ARCH
from benchmarks.train_frozen import EPOCHS
from benchmarks.train_job import Job
from contract.files import write_text
from contract.host import cpu_limit

TRIALS = 20
TARGET = 100.0
STUDY = "study.json"
TUNING = """\
name = "bench"

[hyperparameters]
arch = "{arch}"
epochs = {epochs}

[channels]
{channels}

[tuning]
strategy = "Bayesian"
objective = "validation:loss"
goal = "Minimize"
max_jobs = {trials}
max_parallel_jobs = {parallel}

[ranges]
lr = {{ min = 0.001, max = 0.1, scaling = "Logarithmic" }}
batch-size = [32, 64, 128, 256]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune:
    """Seconds of one cold study and of one trial by the ordinary script."""

    seconds: float  # the whole command, from typing it to its last line
    cpu_seconds: float
    completed: int  # trials
    script_seconds: float  # of one run; twenty are not run
    is_extrapolated: bool  # one run, too: by one of its epochs
    parallel: int

    def bars(self) -> Iterator[Bar]:
        """As many runs of the script as trials were completed."""
        value = self.completed * self.script_seconds / self.seconds
        yield Bar(name="train-tune", value=value, target=TARGET)


def measure_tune(
    channels: Mapping[str, Path], folder: Path, script_seconds: float, *, is_extrapolated: bool
) -> Tune:
    """An empty cache, no earlier study."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parallel = min(2, cpu_limit())
    write_text(folder / "tuning.toml", tuning_text(channels, parallel=parallel))
    command = [sys.executable, "-m", "control", "tune", "tuning.toml"]
    environment = {"KENNEL_CACHE_DIR": str(folder / "cache")}
    job = Job.run("tune", command, folder, environment, cwd=folder)
    found = sorted((folder / "runs").rglob(STUDY))
    if not found:
        raise SystemExit(f"kennel tune wrote no {STUDY}; see {job.log}")
    study = json.loads(found[0].read_text(encoding="utf-8"))
    completed = sum(trial["status"] == "Completed" for trial in study["trials"])
    say(f"kennel tune: {completed} trials in {job.seconds:.1f} s")
    return Tune(
        seconds=job.seconds,
        cpu_seconds=job.cpu_seconds,
        completed=completed,
        script_seconds=script_seconds,
        is_extrapolated=is_extrapolated,
        parallel=parallel,
    )


def tuning_text(channels: Mapping[str, Path], *, parallel: int) -> str:
    """What a person would write to have these pictures searched."""
    named = "\n".join(f"{name} = {json.dumps(str(path))}" for name, path in channels.items())
    return TUNING.format(arch=ARCH, epochs=EPOCHS, channels=named, trials=TRIALS, parallel=parallel)

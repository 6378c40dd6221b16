"""Fine-tuning of all layers: the ordinary script and ours, an epoch each in turns."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.rounds import middle
from benchmarks.terminal import say
from benchmarks.train_data import ARCH, Data, part_of
from benchmarks.train_job import Job, our_command, yardstick_command

TARGET = 1.3
NUM_LABELS = 32  # 128 training and 32 validation pictures


@dataclass(slots=True, kw_only=True)
class Finetune:
    """Seconds of each epoch with its validation."""

    train_pictures: int
    validation_pictures: int
    ours: list[float] = field(default_factory=list)
    script: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    script_peak_mib: float = 0.0

    @property
    def ratios(self) -> tuple[float, ...]:
        """From the second epoch on."""
        pairs = zip(self.script[1:], self.ours[1:], strict=True)
        return tuple(theirs / ours for theirs, ours in pairs)

    def bars(self) -> Iterator[Bar]:
        """How many times as fast."""
        if self.ratios:
            value = middle(self.ratios)
            yield Bar(name="train-finetune", value=value, target=TARGET, values=self.ratios)


def measure_finetune(data: Data, folder: Path, epochs: int) -> Finetune:
    """Both crop at random and mirror; everything else is as each has it."""
    shutil.rmtree(folder, ignore_errors=True)
    channels = part_of(data.channels, folder / "pictures", NUM_LABELS)
    values = {"arch": ARCH, "epochs": epochs, "unfreeze": "all", "augment": "crop"}
    command = yardstick_command(channels, folder, ARCH, epochs, "--finetune")
    environment = {"KENNEL_CACHE_DIR": str(folder / "cache")}
    script = Job("script", command, folder)
    jobs = [script]
    try:
        before = {"script": script.run_until("start")}
        ours = Job("ours", our_command(channels, folder / "out", values), folder, environment)
        jobs.append(ours)
        before["ours"] = ours.run_until("plan ")
        count = {name: len(list(channels[name].rglob("*.*"))) for name in ("train", "validation")}
        found = Finetune(train_pictures=count["train"], validation_pictures=count["validation"])
        for epoch in range(1, epochs + 1):
            for job in (ours, script) if epoch % 2 else (script, ours):
                now = job.run_until(f"epoch {epoch}/")
                seconds = found.ours if job is ours else found.script
                seconds.append(now - before[job.name])
                before[job.name] = job.seconds
            say(
                f"epoch {epoch} of fine-tuning: the script's {found.script[-1]:.1f} s, "
                f"ours {found.ours[-1]:.1f} s"
            )
    finally:
        for job in jobs:
            job.stop()
    found.peak_mib, found.script_peak_mib = ours.peak_mib, script.peak_mib
    return found

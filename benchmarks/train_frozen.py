"""Five epochs of a frozen network: the ordinary script against ours, cold and warm.

The script runs once, all epochs. Between its epochs it is stopped, and ours runs from beginning
to end twice: with an empty cache, and again with what that left.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.rounds import middle
from benchmarks.terminal import say
from benchmarks.train_data import ARCH, REAL_ARCH, Data
from benchmarks.train_job import Job, our_command, yardstick_command

EPOCHS = 5
COLD, WARM = 8.0, 40.0
METRIC = "validation:accuracy="


@dataclass(slots=True, kw_only=True)
class Frozen:
    """Seconds from the first picture on to the saved network; whole processes beside them."""

    script_seconds: float  # of all epochs
    script_epochs: list[float]  # of each that was run
    is_extrapolated: bool
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    cold_whole: list[float] = field(default_factory=list)  # with the start of Python and torch
    warm_whole: list[float] = field(default_factory=list)
    cold_cpu: list[float] = field(default_factory=list)
    warm_cpu: list[float] = field(default_factory=list)
    script_cpu: float = 0.0
    peak_mib: float = 0.0
    script_peak_mib: float = 0.0
    pictures_an_epoch: int = 0

    def bars(self) -> Iterator[Bar]:
        """Both speeds."""
        for name, target, seconds in (("cold", COLD, self.cold), ("warm", WARM, self.warm)):
            ratios = tuple(self.script_seconds / one for one in seconds)
            yield Bar(
                name=f"train-frozen-{name}", value=middle(ratios), target=target, values=ratios
            )


@dataclass(slots=True, kw_only=True)
class Accuracy:
    """Best validation accuracy of both, a value a seed."""

    ours: list[float] = field(default_factory=list)
    script: list[float] = field(default_factory=list)
    why_not: str = ""

    def bars(self) -> Iterator[Bar]:
        """Ours less the script's."""
        if not self.why_not:
            value = sum(self.ours) / len(self.ours) - sum(self.script) / len(self.script)
            yield Bar(name="train-frozen-accuracy-gain", value=value, target=0.0)


def measure_frozen(data: Data, folder: Path, rounds: int, *, is_quick: bool) -> Frozen:
    """With `is_quick` one epoch of the script stands for all."""
    run = 1 if is_quick else EPOCHS
    command = yardstick_command(data.channels, folder, ARCH, run)
    script = Job("yardstick", command, folder)
    found = Frozen(script_seconds=0, script_epochs=[], is_extrapolated=is_quick)
    found.pictures_an_epoch = data.pictures_an_epoch
    try:
        before = start = script.run_until("start")
        for epoch in range(1, run + 1):
            now = script.run_until(f"epoch {epoch}/")
            found.script_epochs.append(now - before)
            say(f"the script's epoch {epoch}: {now - before:.1f} s")
            if len(found.cold) * run <= (epoch - 1) * rounds and len(found.cold) < rounds:
                _ours(data, folder, found)
            before = script.seconds
        script.run_to_end()
    finally:
        script.stop()
    whole = script.seconds - start
    rest = whole - sum(found.script_epochs)
    found.script_seconds = rest + sum(found.script_epochs) * EPOCHS / run
    found.script_cpu, found.script_peak_mib = script.cpu_seconds, script.peak_mib
    while len(found.cold) < rounds:
        _ours(data, folder, found)
    return found


def measure_script(data: Data, folder: Path) -> float:
    """Seconds of all epochs, by one alone: what comes once is counted once."""
    script = Job.run("yardstick", yardstick_command(data.channels, folder, ARCH, 1), folder)
    once = script.seconds - script.time_of("epoch 1/")
    return once + EPOCHS * (script.time_of("epoch 1/") - script.time_of("start"))


def _ours(data: Data, folder: Path, found: Frozen) -> None:
    out, number = folder / "ours", len(found.cold)
    shutil.rmtree(out, ignore_errors=True)
    environment = {"KENNEL_CACHE_DIR": str(out / "cache")}
    for name, times, wholes, cpu in (
        ("cold", found.cold, found.cold_whole, found.cold_cpu),
        ("warm", found.warm, found.warm_whole, found.warm_cpu),
    ):
        values = {"arch": ARCH, "epochs": EPOCHS}
        command = our_command(data.channels, out / name, values)
        job = Job.run(f"{name}-{number}", command, folder, environment)
        times.append(job.seconds - job.time_of("job "))
        wholes.append(job.seconds)
        cpu.append(job.cpu_seconds)
        found.peak_mib = max(found.peak_mib, job.peak_mib)
        say(f"ours, {name}: {times[-1]:.1f} s, {job.seconds:.1f} s with its start")


def measure_accuracy(data: Data, folder: Path, seeds: Sequence[int]) -> Accuracy:
    """Real weights, the same epochs, everything else as each has it without being told."""
    found = Accuracy()
    if data.real is None:
        found.why_not = "KENNEL_DOGS and KENNEL_WEIGHTS name no data"
        return found
    for seed in seeds:
        command = yardstick_command(data.real, folder, REAL_ARCH, EPOCHS, "--seed", str(seed))
        script = Job.run(f"script-{seed}", command, folder)
        best = next(line for _, line in script.lines if line.startswith("saved"))
        found.script.append(float(best.rsplit(maxsplit=1)[1]))
        values = {"arch": REAL_ARCH, "epochs": EPOCHS, "seed": seed}
        command = our_command(data.real, folder / f"real-{seed}", values)
        environment = {"KENNEL_CACHE_DIR": str(folder / "real-cache")}
        ours = Job.run(f"real-{seed}", command, folder, environment)
        found.ours.append(last_metric(ours, METRIC))
        say(f"seed {seed}: accuracy {found.ours[-1]:.4f}, the script's {found.script[-1]:.4f}")
    return found


def last_metric(job: Job, name: str) -> float:
    """A job's last words are its metrics."""
    line = next(line for _, line in reversed(job.lines) if line.startswith(name))
    return float(line.removeprefix(name).rstrip(";"))

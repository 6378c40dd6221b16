"""Does the engine that the trunk runs in cost accuracy? int8 against float32 over several seeds.

The dogs with real weights, and scikit-learn's digits on a random trunk. Each seed has train,
validation and test pictures of its own, dealt from all that there are.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.deal import deal
from benchmarks.terminal import say
from benchmarks.train_data import REAL_ARCH, Data
from benchmarks.train_frozen import last_metric
from benchmarks.train_job import Job, our_command
from control.digits import write_digits

ENGINES = {"int8": "auto", "f32": "none"}  # name: value of `quantize`
METRIC = "test:accuracy="
EPOCHS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """Test accuracy by engine, a value a seed."""

    title: str
    name: str
    accuracy: Mapping[str, Sequence[float]]

    @property
    def gain(self) -> float:
        """Mean of int8 less mean of float32."""
        means = {name: statistics.mean(values) for name, values in self.accuracy.items()}
        return means["int8"] - means["f32"]

    @property
    def noise(self) -> float:
        """Two standard errors of the mean difference, seed by seed; NaN for one seed."""
        pairs = zip(self.accuracy["int8"], self.accuracy["f32"], strict=True)
        differences = [int8 - f32 for int8, f32 in pairs]
        if len(differences) < 2:
            return float("nan")
        return 2 * statistics.stdev(differences) / len(differences) ** 0.5

    def bars(self) -> Iterator[Bar]:
        """How much lower int8 is, which must be within the noise."""
        name = f"train-int8-accuracy-loss-{self.name}"
        yield Bar(name=name, value=-self.gain, target=self.noise, at_most=True)


def measure_seeds(data: Data, folder: Path, seeds: int) -> list[Seeds]:
    """The dogs are left out where there are none."""
    sets = []
    if data.real is not None:
        test = data.real["train"].parent / "test"
        if test.is_dir():
            sets.append(("dogs, squeezenet1_1 with ImageNet's weights", "dogs", data.real, test))
    digits = write_digits(folder / "digits-pictures")
    channels = {"train": digits / "train", "validation": digits / "validation"}
    channels["pretrained"] = Path("false")
    sets.append(("digits, a random squeezenet1_1", "digits", channels, digits / "test"))
    return [
        _measure(title, name, {**channels, "test": test}, folder, seeds)
        for title, name, channels, test in sets
    ]


def _measure(
    title: str, name: str, channels: Mapping[str, Path], folder: Path, seeds: int
) -> Seeds:
    environment = {"KENNEL_CACHE_DIR": str(folder / "cache")}
    found: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    splits = {split: channels[split] for split in ("train", "validation", "test")}
    for seed in range(seeds):
        dealt = {**channels, **deal(splits, folder / f"{name}-dealt-{seed}", seed)}
        for engine, quantize in ENGINES.items():
            values = {"arch": REAL_ARCH, "epochs": EPOCHS, "seed": seed, "quantize": quantize}
            job_name = f"{name}-{engine}-{seed}"
            command = our_command(dealt, folder / job_name, values)
            job = Job.run(job_name, command, folder, environment)
            found[engine].append(last_metric(job, METRIC))
        say(f"{name}, seed {seed}: int8 {found['int8'][-1]:.4f}, f32 {found['f32'][-1]:.4f}")
    return Seeds(title=title, name=name, accuracy=found)

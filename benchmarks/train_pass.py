"""The trunk pass: how near it comes to decoding and computing alone."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.rounds import middle
from benchmarks.terminal import say
from benchmarks.train_data import ARCH, Data
from benchmarks.train_job import Job, our_command

TARGET = 0.9
# What the head learns on as it comes, and with quantize=none: the value, how many pictures.
ENGINES = (("auto", "int8", 1000), ("none", "f32", 160))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One engine; seconds a picture, a value a round."""

    name: str
    engine: str
    lanes: int
    batch: int  # the fastest
    trunk_pass: Sequence[float]
    decode: Sequence[float]
    compute: Sequence[float]

    @property
    def shares(self) -> tuple[float, ...]:
        """The speed of the pass in shares of the limit."""
        rounds = zip(self.trunk_pass, self.decode, self.compute, strict=True)
        return tuple((decode + compute) / whole for whole, decode, compute in rounds)

    def bars(self) -> Iterator[Bar]:
        """The share."""
        name = f"train-pass-{self.name}-of-limit"
        yield Bar(name=name, value=middle(self.shares), target=TARGET, values=self.shares)


def measure_pass(data: Data, folder: Path, rounds: int, *, is_quick: bool) -> list[Pass]:
    """Both engines, each in a process of its own."""
    found = []
    for value, name, most in ENGINES:
        shutil.rmtree(folder / name, ignore_errors=True)
        flags = our_command(data.channels, folder / name, {"arch": ARCH, "quantize": value})
        program = [sys.executable, "-m", "benchmarks.train_bare"]
        words = [str(folder / name), str(rounds), str(most // 10 if is_quick else most)]
        job = Job.run(f"pass-{name}", [*program, *words, "--", *flags[3:]], folder)
        told = json.loads(job.lines[-1][1])
        item = Pass(
            name=name,
            engine=told["engine"],
            lanes=told["lanes"],
            batch=told["batch"],
            trunk_pass=told["pass"],
            decode=told["decode"],
            compute=told["compute"],
        )
        say(f"trunk pass, {item.engine}: {middle(item.shares):.3f} of its limit")
        found.append(item)
    return found

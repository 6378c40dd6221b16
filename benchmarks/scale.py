"""`python -m benchmarks.scale`: what more pictures cost, in time and memory, from start to bundle.

One job of each size, a frozen squeezenet1_1, each in a process of its own without any cache. Time
is the processor's, of all threads, which a busy machine changes less than the clock; what every
job costs whatever its size cancels out in the differences.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.many import write_many
from benchmarks.terminal import say, show
from control.pack import pack
from control.pack_plan import plan_pack

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 3
LIMIT = 1.1  # time per picture of the larger step over that of the smaller one
SHARD_BYTES = 256_000_000


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one job took."""

    pictures: int
    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all was measured, whatever the bar says."""
    options = _parse(arguments)
    costs = []
    for count in options.counts:
        folder = write_many(options.data / str(count), count)
        if options.packed:
            folder, source = options.data / f"{count}-packed", folder
            pack(source, folder, plan_pack(source, SHARD_BYTES))
        costs.append(measure(folder, count, options.weights))
        say(_line(costs[-1]))
    for cost in costs:
        show(_line(cost))
    for bar in _bars(costs):
        show(bar.line())
    return 0


def measure(folder: Path, count: int, weights: Path | None) -> Cost:
    """Train on `folder` in a fresh process. Raises SystemExit when the job fails."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "train", "--train", str(folder), "--arch"]
        command += ["squeezenet1_1", "--epochs", str(EPOCHS), "--model-dir", f"{out}/model"]
        command += ["--output-dir", f"{out}/output"]
        command += ["--pretrained", str(weights)] if weights else ["--pretrained", "false"]
        started = time.perf_counter()
        with open(f"{out}/log", "wb") as log:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "KENNEL_CACHE_DIR": "off"},
                stdout=log,
                stderr=log,
            )
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        text = Path(f"{out}/log").read_text(encoding="utf-8")
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {child.returncode}:\n{text[-2000:]}")
    return Cost(
        pictures=count,
        wall_seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
    )


def _bars(costs: Sequence[Cost]) -> list[Bar]:
    """Between every two steps in size; none for fewer than three sizes."""
    steps = [_per_picture(one, two) for one, two in pairwise(costs)]
    ratios = tuple(later / earlier for earlier, later in pairwise(steps))
    if not ratios:
        return []
    return [
        Bar(name="time-per-picture", value=max(ratios), target=LIMIT, at_most=True, values=ratios)
    ]


def _per_picture(one: Cost, two: Cost) -> float:
    return (two.cpu_seconds - one.cpu_seconds) / (two.pictures - one.pictures)


def _line(cost: Cost) -> str:
    return (
        f"{cost.pictures:>7,} pictures: {cost.wall_seconds:7.1f} s, {cost.cpu_seconds:7.1f} s of "
        f"processors ({cost.cpu_seconds / cost.pictures * 1e3:.2f} ms a picture), peak "
        f"{cost.peak_mib:,.0f} MiB"
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description="Train on more and more small pictures: time per picture and peak memory.",
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--packed", action="store_true", help="from shards instead of folders")
    parser.add_argument("--weights", type=Path, help="folder or file of pretrained weights")
    parser.add_argument(
        "--data", type=Path, default=ROOT / "build" / "many", help="where pictures are made"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m benchmarks.profiler`: what measuring costs a run, in turns within one session.

Fine-tuning of a small network with two loader workers, and a head on features from memory, whose
steps are the shortest that there are. Each is trained by the loop itself: with nobody looking on,
and with what an empty [profiler] of a job asks for, which is the host agent and the timeline.
"""

import argparse
import logging
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bars import Bar
from benchmarks.terminal import say, show
from train.threads import limit_spinning

if TYPE_CHECKING:  # torch, which comes after what it reads of the environment
    from benchmarks.profiler_work import Work

TARGET = 1.02  # times as long as without
AGENT_TARGET = 0.01  # of one core


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all was measured, whatever the bars say."""
    options = _parse(arguments)
    limit_spinning()  # as a job does
    from benchmarks.profiler_work import fine_tuning, on_features

    logging.getLogger("train").setLevel(logging.WARNING)
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory(prefix="bench-profiler-") as name:
        folder = Path(name)
        for work in (on_features(folder / "head"), fine_tuning(folder / "finetune")):
            bars += measure(work, folder / work.name, options.seconds, options.rounds)
    for bar in bars:
        show(bar.line())
    return 0


def measure(work: "Work", folder: Path, seconds: float, rounds: int) -> Iterator[Bar]:
    """Ratios within each round, whose order turns."""
    work.run(1, folder / "warm")  # imports, and memory that is asked for once
    epochs = max(2, round(seconds / work.run(2, None).seconds * 2))
    ratios, cpu_ratios, shares = [], [], []
    for number in range(rounds):
        profile = folder / f"profile-{number}"
        turns = (profile, None) if number % 2 else (None, profile)
        runs = {turn is None: work.run(epochs, turn) for turn in turns}
        on, off = runs[False], runs[True]
        ratios.append(on.seconds / off.seconds)
        cpu_ratios.append(on.cpu_seconds / off.cpu_seconds)
        shares.append(on.agent_share)
        say(
            f"{work.name}, {on.steps} steps of {1e3 * off.seconds / off.steps:.3f} ms, round "
            f"{number + 1} of {rounds}: off {off.seconds:.2f} s (CPU {off.cpu_seconds:.2f}), "
            f"on {on.seconds:.2f} s (CPU {on.cpu_seconds:.2f}), "
            f"{on.num_bytes / on.steps:.0f} bytes a step, agent {100 * on.agent_share:.2f} %"
        )
    # Where other programs run, time on the clock says little, and time on processors a lot.
    for name, values, target in (
        (f"profiler-{work.name}", ratios, TARGET),
        (f"profiler-{work.name}-cpu", cpu_ratios, TARGET),
        (f"profiler-{work.name}-agent", shares, AGENT_TARGET),
    ):
        value = statistics.median(values)
        yield Bar(name=name, value=value, target=target, at_most=True, values=tuple(values))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profiler", description="What measuring a run costs it."
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="of a run; many short ones")
    parser.add_argument("--rounds", type=int, default=25)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m benchmarks.debugger`: what saving tensors costs a run, in turns within one session.

Fine-tuning of a small network on generated pictures, and a head on features from memory, whose
steps are the shortest that there are. Each is trained by the loop itself: with nobody looking on,
with the hook as SageMaker's SDK sends it, and with what an empty [debugger] of a job asks for.
"""

import argparse
import cProfile
import logging
import pstats
import statistics
import tempfile
import time
import timeit
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bars import Bar
from benchmarks.terminal import say, show
from contract.hook_config import Collection, HookConfig
from train.threads import limit_spinning

if TYPE_CHECKING:
    from benchmarks.debugger_work import Work

TARGET, OFF_TARGET = 1.05, 1.01  # times as long as without
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
OFF = "off"
DEFAULT_COLLECTIONS = ("losses", "weights", "gradients", "biases")
HOOKS = {
    OFF: None,
    "default": HookConfig(),
    "auto": HookConfig(
        collections=tuple(Collection(name=name) for name in DEFAULT_COLLECTIONS),
        parameters={"save_interval": "auto"},
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all was measured, whatever the bars say."""
    options = _parse(arguments)
    limit_spinning()  # as the command `train` does, before torch is loaded
    from benchmarks.debugger_work import fine_tuning, head

    logging.getLogger("train").setLevel(logging.WARNING)
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory(prefix="bench-debugger-") as name:
        folder = Path(name)
        for work in (head(folder), fine_tuning(folder)):
            work = replace(work, clock=CLOCKS[options.clock])
            bars += measure(work, folder / work.name, options.seconds, options.rounds)
    for bar in bars:
        show(bar.line())
    return 0


def measure(work: "Work", folder: Path, seconds: float, rounds: int) -> Iterator[Bar]:
    """Ratios within each round, whose order turns."""
    epochs, took = 1, 0.0
    for hook in HOOKS:  # imports, and memory that is asked for once
        work.run(epochs, work.watch(HOOKS[hook], folder / "warm"))
    while took < seconds / 10:
        epochs *= 2
        took, _ = work.run(epochs, work.watch(None, folder))
    epochs = max(2, round(epochs * seconds / took))
    found: dict[str, list[float]] = {hook: [] for hook in HOOKS}
    for number in range(rounds):
        turn = number % len(found)
        order = list(found)
        for hook in (*order[turn:], *order[:turn]):
            took, steps = work.run(epochs, work.watch(HOOKS[hook], folder / f"{hook}-{number}"))
            found[hook].append(took)
        told = ", ".join(f"{hook} {values[-1]:.2f} s" for hook, values in found.items())
        say(f"{work.name}, {steps} steps, round {number + 1} of {rounds}: {told}")
    for hook in list(HOOKS)[1:]:
        ratios = tuple(one / off for one, off in zip(found[hook], found[OFF], strict=True))
        yield Bar(
            name=f"debugger-{hook}-{work.name}", value=statistics.median(ratios), target=TARGET,
            at_most=True, values=ratios,
        )  # fmt: skip
        say(f"{work.name}, {hook}: {_bytes_of(folder / f'{hook}-0') / 1e6:.1f} MB")
    step_seconds = statistics.median(found[OFF]) / steps
    cost = calls_a_step(work) * call_seconds()
    say(f"{work.name}: a step takes {1e3 * step_seconds:.3f} ms, the watch {1e6 * cost:.2f} us")
    yield Bar(
        name=f"debugger-off-{work.name}", value=1 + cost / step_seconds, target=OFF_TARGET,
        at_most=True,
    )  # fmt: skip


def calls_a_step(work: "Work") -> float:
    """How often the loop tells a watch that nobody looks through, counted by Python's profiler."""
    profile = cProfile.Profile()
    _, steps = profile.runcall(work.run, 2, work.watch(None, Path()))
    counts = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    return (
        sum(entry[0] for (path, _, _), entry in counts.items() if path.endswith("train/watch.py"))
        / steps
    )


def call_seconds() -> float:
    """The dearest of those calls: a span that nobody measures, entered and left."""
    from train.watch import Phase, Watch

    watch, number = Watch(), 100_000

    def once() -> None:
        with watch.span(Phase.FORWARD):
            pass

    return min(timeit.repeat(once, number=number, repeat=5)) / number


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.debugger", description="What saving tensors costs a run."
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="of a run; `auto` may take a second of it"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu where other work runs, too"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())

"""`make bench-train`: our training beside the ordinary script and beside its limit, in one session.

Progress goes to stderr; one line a bar (DESIGN: Interfaces) to stdout. The page
benchmarks/results/train.md and the chart are written again by a full run; others write both into
build/bench-train.
"""

import argparse
import json
import signal
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict

from benchmarks.machine import describe_host
from benchmarks.servers import ROOT
from benchmarks.terminal import say, show
from benchmarks.train_chart import draw
from benchmarks.train_data import Data, find_data, small
from benchmarks.train_finetune import measure_finetune
from benchmarks.train_frozen import measure_accuracy, measure_frozen, measure_script
from benchmarks.train_hosts import measure_hosts
from benchmarks.train_loader import measure_loader
from benchmarks.train_page import Results, page_of
from benchmarks.train_pass import measure_pass
from benchmarks.train_scale import COUNTS, measure_scale
from benchmarks.train_seeds import measure_seeds
from benchmarks.train_tune import measure_tune
from contract.files import write_text

BUILD = ROOT / "build" / "bench-train"
PAGE = ROOT / "benchmarks" / "results" / "train.md"
CHART = ROOT / "docs" / "images" / "training.png"
PARTS = ("frozen", "accuracy", "tune", "pass", "finetune", "loader", "hosts", "scale", "seeds")
LARGE = 100_000
PACKAGES = ("torch", "torchvision", "openvino", "nncf", "optuna", "numpy", "pillow")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all was measured, whatever the bars say."""
    options = _parse(arguments)
    # Jobs have sessions of their own, and some are stopped: they end only if we end them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parts = options.only.split(",") if options.only else list(PARTS)
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise SystemExit(f"--only: expected some of {', '.join(PARTS)}")
    data = find_data(BUILD / "data")
    if options.quick:
        data = small(data, BUILD / "data" / "small")
    results = _measure(data, parts, options)
    is_full = not options.quick and set(PARTS) <= set(parts)
    page, chart = (PAGE, CHART) if is_full else (BUILD / PAGE.name, BUILD / CHART.name)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, page_of(results))
    draw(results, chart)
    say(f"wrote {page} and {chart}")
    if options.output == "json":
        show(json.dumps(asdict(results), default=str))
    else:
        for bar in results.bars:
            show(bar.line())
    return 0


def _measure(data: Data, parts: Collection[str], options: argparse.Namespace) -> Results:
    found = Results(machine=describe_host(PACKAGES), title=data.title)
    rounds = options.rounds or (1 if options.quick else 3)
    seeds = range(1 if options.quick else 2)
    if "frozen" in parts:
        found.frozen = measure_frozen(data, BUILD / "frozen", rounds, is_quick=options.quick)
    if "accuracy" in parts:
        found.accuracy = measure_accuracy(data, BUILD / "accuracy", seeds)
    if "tune" in parts:
        script = found.frozen.script_seconds if found.frozen else measure_script(data, BUILD)
        guessed = found.frozen is None or found.frozen.is_extrapolated
        found.tune = measure_tune(data.channels, BUILD / "tune", script, is_extrapolated=guessed)
    if "pass" in parts:
        found.passes = measure_pass(data, BUILD / "pass", rounds, is_quick=options.quick)
    if "finetune" in parts:
        found.finetune = measure_finetune(data, BUILD / "finetune", max(2, rounds))
    if "loader" in parts:
        found.loader = measure_loader(data, BUILD / "loader", max(2, rounds))
    if "hosts" in parts:
        found.hosts = measure_hosts(data, BUILD / "hosts")
    if "scale" in parts:
        counts = [count // 10 for count in COUNTS] if options.quick else list(COUNTS)
        counts += [LARGE] if options.large else []
        weights = data.real["pretrained"] if data.real else None
        found.scale = measure_scale(BUILD / "scale", counts, weights)
    if "seeds" in parts:
        found.seeds = measure_seeds(data, BUILD / "seeds", 2 if options.quick else 5)
    return found


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train",
        description="Measure our training beside the ordinary script, and beside its own limit.",
        epilog="KENNEL_DOGS names a folder with train and valid below it, KENNEL_WEIGHTS a "
        "torchvision squeezenet1_1; without them pictures are generated. "
        "example: make bench-train ARGS='--quick --only frozen,tune'",
    )
    parser.add_argument("--quick", action="store_true", help="short, to see that it works")
    parser.add_argument("--rounds", type=int, default=0, help="how many rounds")
    parser.add_argument("--only", default="", help=f"with commas: {', '.join(PARTS)}")
    parser.add_argument("--large", action="store_true", help="a job of 100,000 pictures, too")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-serve`: our server beside its peers and beside its limit, in one session.

Progress goes to stderr; the table and one line a bar (DESIGN: Interfaces) to stdout. The page
benchmarks/results/serve.md and the chart are written again by a full run; others write both into
build/bench-serve.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.bars import OURS, bars_of
from benchmarks.chart import draw
from benchmarks.dogs import Dogs, measure_dogs
from benchmarks.layout import EXPECTED_NAME, MODEL, NUM_PICTURES, PICTURES
from benchmarks.limit import Limit
from benchmarks.load import ask
from benchmarks.machine import describe_machine
from benchmarks.pace import at_double_load, at_half_load
from benchmarks.page import Results, Row, line_of, page_of
from benchmarks.pictures import read_pictures
from benchmarks.rounds import Plan, middle, run_rounds
from benchmarks.servers import ROOT, Server, Started, our_server, peers, top_label
from benchmarks.terminal import say, show
from contract.files import write_text
from contract.manifest import read_manifest

BUILD = ROOT / "build" / "bench-serve"
PAGE = ROOT / "benchmarks" / "results" / "serve.md"
CHART = ROOT / "docs" / "images" / "serving.png"
MODEL_SECONDS = 900
QUICK = Plan(
    rounds=2,
    seconds=1.5,
    warm_seconds=0.5,
    latency_seconds=3,
    latency_passes=1,
    overload_seconds=2,
    seeds=1,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all was measured, whatever the bars say."""
    options = _parse(arguments)
    plan = QUICK if options.quick else Plan()
    plan = replace(plan, rounds=options.rounds or plan.rounds)
    model = options.model or _model(options.pictures)
    names = options.only.split(",") if options.only else []
    servers = [our_server(model), *_pinned(model), *peers(model)]
    results = _measure(model, [one for one in servers if not names or one.name in names], plan)
    if options.dogs:
        results = _with_dogs(results, measure_dogs(BUILD / "dogs", plan.seeds))
    is_full = not (options.quick or names or options.pictures)
    page, chart = (PAGE, CHART) if is_full else (BUILD / PAGE.name, BUILD / CHART.name)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, page_of(results))
    draw(results, chart)
    say(f"wrote {page} and {chart}")
    _print(results, options.output)
    return 0


def _print(results: Results, output: str) -> None:
    if output == "json":
        show(json.dumps(asdict(results), default=str))
        return
    for row in results.rows:
        show(line_of(row, results.measured.servers[row.name]))
    if results.dogs.why_not:
        show(f"dogs are left out: {results.dogs.why_not}")
    for bar in results.bars:
        show(bar.line())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve",
        description="Measure our server beside its peers, and beside its own limit.",
        epilog="example: make bench-serve ARGS='--quick --only kennel,flask'",
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, to see that it works")
    parser.add_argument("--rounds", type=int, default=0, help="how many rounds")
    parser.add_argument("--only", default="", help="names of servers, with commas")
    parser.add_argument("--pictures", type=Path, help="a folder of JPEGs to send instead of ours")
    parser.add_argument("--model", type=Path, help="what an earlier benchmarks.model wrote")
    parser.add_argument("--no-dogs", dest="dogs", action="store_false", help="leave them out")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    return parser.parse_args(arguments)


def _model(pictures: Path | None) -> Path:
    """What benchmarks.model wrote for these sources, written now if it is not there."""
    digest = hashlib.sha256(str(pictures).encode())
    for room in ("classifier", "contract", "train", "benchmarks"):
        for path in sorted((ROOT / room).glob("*.py")):
            is_used = room != "benchmarks" or path.stem in ("model", "pictures", "layout")
            digest.update(path.read_bytes() if is_used else b"")
    folder = BUILD / digest.hexdigest()[:12]
    if (folder / "done").is_file():
        return folder
    for older in BUILD.glob("*/start.pth"):
        shutil.rmtree(older.parent)
    say("training the network that all servers get (a minute or two)")
    command = [sys.executable, "-m", "benchmarks.model", str(folder)]
    command += [str(pictures.resolve())] if pictures else []
    subprocess.run(command, check=True, timeout=MODEL_SECONDS, cwd=ROOT)
    (folder / "done").touch()
    return folder


def _pinned(model: Path) -> list[Server]:
    """Ours once more in every variant that the bundle measured on this chip."""
    manifest = read_manifest(model / MODEL)
    return [our_server(model, item.name) for item in manifest.variants if item.name != "half"]


def _measure(model: Path, servers: Sequence[Server], plan: Plan) -> Results:
    """Start all, measure, end all."""
    pictures = read_pictures(model / PICTURES, NUM_PICTURES)
    expected = json.loads((model / EXPECTED_NAME).read_text(encoding="utf-8"))
    started: list[Started] = []
    limit = Limit(model)
    try:
        rows = []
        for server in servers:
            if server.name == f"{OURS}-{limit.facts['variant']}":
                continue  # it is what `kennel` serves already
            item = server.start(BUILD / "servers" / server.name, model)
            started.append(item)
            item.wait_ready(pictures[0])
            wanted = limit.facts["labels"] if server.name == OURS else expected
            rows.append((item, _agreeing(item, pictures, wanted)))
            item.process.freeze()
            say(f"{server.name}: ready after {item.ready_seconds:.1f} s")
        limit.find_layout()
        measured = run_rounds(started, pictures, limit, plan)
        ours = next((item for item in started if item.server.name == OURS), None)
        paced = overload = None
        if ours is not None:
            per_second = middle(measured.servers[OURS].per_second)
            paced = at_half_load(ours, pictures, per_second, plan)
            overload = at_double_load(ours, pictures, per_second, plan)
        results = Results(
            machine=describe_machine(),
            plan=plan,
            picture_bytes=int(middle([len(picture) for picture in pictures])),
            rows=[_row(item, agreeing, limit.facts["variant"]) for item, agreeing in rows],
            measured=measured,
            facts={key: str(limit.facts[key]) for key in ("engine", "variant", "why")},
            trials=[
                (f"{layout.lanes} at once of {layout.batch}", value)
                for layout, value in limit.trials
            ],
            paced=paced,
            overload=overload,
            dogs=Dogs(why_not="not asked for"),
            bars=(),
        )
        return replace(results, bars=bars_of(measured, paced, results.dogs))
    finally:
        for item in started:
            item.process.stop()
        limit.stop()


def _with_dogs(results: Results, dogs: Dogs) -> Results:
    return replace(results, dogs=dogs, bars=bars_of(results.measured, results.paced, dogs))


def _row(item: Started, agreeing: str, variant: str) -> Row:
    title = item.server.title
    return Row(
        name=item.server.name,
        title=f"{title}, {variant} chosen" if item.server.name == OURS else title,
        ready_seconds=item.ready_seconds,
        memory_mib=item.process.memory_mib(),
        agreeing=agreeing,
    )


def _agreeing(item: Started, pictures: Sequence[bytes], expected: Sequence[str]) -> str:
    answers = [ask(item.port, item.server.request(picture)) for picture in pictures]
    wrong = [status for status, _ in answers if status != 200]
    if wrong:
        raise SystemExit(f"{item.server.title} answers {wrong[0]}; see {item.process.log}")
    same = sum(top_label(body) == label for (_, body), label in zip(answers, expected, strict=True))
    return f"{same} of {len(pictures)}"


if __name__ == "__main__":
    sys.exit(main())

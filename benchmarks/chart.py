"""Chart: throughput and latency of all servers as one picture for the README."""

from pathlib import Path

from benchmarks.bars import OURS
from benchmarks.page import Results
from benchmarks.rounds import middle

OURS_COLOUR, PEER_COLOUR, SPREAD_COLOUR = "#2563eb", "#94a3b8", "#334155"


def draw(results: Results, path: Path) -> None:
    """Horizontal bars, ours on top: requests a second with their spread, and latency."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = list(reversed(results.rows))
    names = [row.title for row in rows]
    colours = [OURS_COLOUR if row.name.startswith(OURS) else PEER_COLOUR for row in rows]
    series = [results.measured.servers[row.name] for row in rows]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 0.45 * len(rows) + 1.4))
    rates = [middle(item.per_second) for item in series]
    spread = [
        [rate - min(item.per_second) for rate, item in zip(rates, series, strict=True)],
        [max(item.per_second) - rate for rate, item in zip(rates, series, strict=True)],
    ]
    left.barh(names, rates, color=colours, xerr=spread, ecolor=SPREAD_COLOUR, capsize=2)
    left.set_title("requests a second, 8 clients", fontsize=10)
    right.barh(names, [middle(item.p99_ms) for item in series], color=colours, alpha=0.45)
    right.barh(names, [middle(item.p50_ms) for item in series], color=colours)
    right.set_title("latency in ms, 8 clients: p50, and p99 (pale)", fontsize=10)
    right.set_yticks([])
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    machine = results.machine
    figure.suptitle(
        f"resnet50 on {machine['processors']} processors of {machine['chip']}", fontsize=10
    )
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    pyplot.close(figure)

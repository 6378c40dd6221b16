"""GPUs: how each is used, whether work is shared evenly, how they go with the CPU, their memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from contract.page import to_section, to_text
from debugger.profile.data import CPU, GPU, NodeMetrics, Series
from debugger.profile.samples import mean_of
from debugger.profile.summary import Correlation
from debugger.report.drawing import (
    HALF,
    Box,
    add_axes,
    add_boxes,
    add_histogram,
    draw_figure,
    percent_axis,
    style_axes,
    time_axis,
    title_axes,
)
from debugger.report.findings import ended, tell_rule
from debugger.report.ink import HEATS, SERIES_INKS, ink
from debugger.report.strips import draw_heat
from debugger.report.view import MOST_HOSTS, View, by_number, gpus_of
from debugger.report.words import to_prose, to_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_QUANTILES = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
_MOST_ROWS = 64  # of a heat strip
_MOST_PAIRS = 20
_BINS = 20
_NO_GPU = (
    "No GPU was measured: the hosts have none, or NVIDIA's library is not there. So nothing can "
    "be said about its use, its memory, or how evenly work is shared."
)


def gpu_section(view: View) -> str:
    """Use of each GPU, workload balancing, and GPU against CPU."""
    if not gpus_of(view, GPU):
        body = f"<p>{to_text(_NO_GPU)}</p>{_draw_strips(view)}"
        return to_section("GPUs", body, "gpus")
    body = (
        f"{tell_rule(view, 'LowGPUUtilization')}{_use_table(view)}{_draw_strips(view)}"
        f"<h3>Workload balancing</h3>{tell_rule(view, 'LoadBalancing')}{_draw_balance(view)}"
        f"<h3>GPU and CPU together</h3>{_correlations(view)}"
    )
    return to_section("GPUs", body, "gpus")


def _use_table(view: View) -> str:
    rows = []
    for host, name, series in gpus_of(view, GPU):
        values = np.quantile(series.values, _QUANTILES).tolist()
        cells = [f"{value:.0f} %" for value in values]
        rows.append((to_text(host), to_text(name), _verdict(values), *cells))
    heads = ("host", "GPU", "", "min", "p5", "p25", "p50", "p75", "p95", "max")
    return to_table(heads, rows, texts=3)


def _verdict(values: Sequence[float]) -> str:
    """AWS's sentences about a GPU, in two words."""
    if values[5] < 70:
        return "under-used"
    return "fluctuates" if values[5] - values[1] > 50 else "well used"


def _draw_strips(view: View) -> str:
    """Every GPU and every core over time, as colours; of many cores their mean."""
    named = _rows(view, cores=True)
    is_short = len(named) <= _MOST_ROWS
    shown = named if is_short else _rows(view, cores=False)[:_MOST_ROWS]
    if not shown:
        return ""
    tall = 20 if len(shown) <= 24 else 14

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 110, 4, 6, 24)
        draw_heat(axes, shown, view)
        time_axis(axes, view.profile.seconds)

    alt = "Use over time: " + ", ".join(f"{name} {s.values.mean():.0f} %" for name, s in shown)
    cells = "".join(f'<i class="swatch" style="background:var(--{name})"></i>' for name in HEATS)
    heading = "Every GPU and core over time" if is_short else "GPUs over time, and the cores' mean"
    drawn = draw_figure(draw, alt, height=28 + tall * len(shown))
    return f'<h3>{heading}</h3><p class="key">0 % {cells} 100 %</p><div class="wide">{drawn}</div>'


def _rows(view: View, *, cores: bool) -> list[tuple[str, Series]]:
    """Named series of all drawn hosts; without `cores` one for all of a host's."""
    named: list[tuple[str, Series]] = []
    for host, node in view.hosts():
        prefix = f"{host} " if len(view.profile.system) > 1 else ""
        named += [(prefix + name, node.of(GPU)[name]) for name in by_number(node.of(GPU))]
        if cores:
            named += [(prefix + name, node.of(CPU)[name]) for name in by_number(node.of(CPU))]
        elif mean := mean_of(node.of(CPU)):
            named.append((f"{prefix}CPU", mean))
    return named


def _draw_balance(view: View) -> str:
    """For each GPU of a host how often it was used how much, one below the other."""
    hosts = [(host, node) for host, node in view.hosts() if node.of(GPU)]
    figures = "".join(_draw_shares(host, node) for host, node in hosts)
    distances: list[tuple[float, str, str]] = []
    for host, found in view.details("LoadBalancing").items():
        pairs = (found.get("distances") or {}) if isinstance(found, dict) else {}
        for first, others in pairs.items():
            distances += [
                (float(distance), str(host), f"{first} and {second}")
                for second, distance in others.items()
            ]
    ranked = sorted(distances, key=lambda one: -one[0])[:_MOST_PAIRS]
    rows = [(to_text(host), to_text(pair), f"{far:.3f}") for far, host, pair in ranked]
    table = to_table(("host", "GPUs", "distance of their histograms"), rows, texts=2)
    return f'<div class="panels">{figures}</div>{table if distances else ""}'


def _draw_shares(host: str, node: NodeMetrics) -> str:
    names = by_number(node.of(GPU))[:MOST_HOSTS]
    edges = np.linspace(0, 100, _BINS + 1)
    shares = []
    for name in names:
        counts, _ = np.histogram(node.of(GPU)[name].values, edges)
        shares.append(100 * counts / max(counts.sum(), 1))
    tall = 64

    def draw(figure: "Figure") -> None:
        high = max(float(one.max()) for one in shares) * 1.15
        for row, (name, share) in enumerate(zip(names, shares, strict=True)):
            under = 44 + tall * (len(names) - 1 - row)
            axes = add_axes(figure, 52, 30 + tall * row, 44, under + 8)
            style_axes(axes)
            add_histogram(axes, edges.tolist(), share.tolist(), SERIES_INKS[row % len(SERIES_INKS)])
            axes.set_ylim(0, high)
            axes.set_xlim(0, 100)
            axes.yaxis.tick_right()
            axes.set_yticks([round(high / 1.3)], [f"{round(high / 1.3)} %"])
            axes.set_ylabel(name, rotation=0, ha="right", va="center", color=ink("text"))
            if row < len(names) - 1:
                axes.tick_params(labelbottom=False)
            else:
                axes.set_xlabel("utilization, percent", labelpad=2)
            if row == 0:
                title_axes(axes, f"{host}: share of the samples", pad=8)

    alt = f"Histograms of the GPUs of {host}: " + ", ".join(
        f"{name} mean {node.of(GPU)[name].values.mean():.0f} %" for name in names
    )
    return draw_figure(draw, alt, width=HALF, height=74 + tall * len(names))


def _correlations(view: View) -> str:
    found = view.summary.correlations
    if not found:
        return "<p>GPU and CPU were not measured at the same moments of training.</p>"
    told = "".join(f"<p>{to_prose(ended(one.sentence))}</p>" for one in found[:MOST_HOSTS])
    result = view.result("CPUBottleneck")
    limits = result.parameters if result else {}
    told += (
        f"<p>A GPU is low below {limits.get('gpu_threshold', 10)} %, a CPU is high when one of its "
        f"cores is above {limits.get('cpu_threshold', 90)} %.</p>"
    )
    figures = "".join(_draw_correlation(one) for one in found[:4])
    rows = [
        (to_text(one.host), to_text(one.gpu),
         "&ndash;" if one.coefficient is None else f"{one.coefficient:+.2f}",
         *(f"{share:.0f} %" for share in _corners(one)))
        for one in found
    ]  # fmt: skip
    heads = ("host", "GPU", "correlation", "both low", "GPU low, CPU high", "GPU high, CPU low",
             "both high")  # fmt: skip
    return f'{told}<div class="panels">{figures}</div>{to_table(heads, rows, texts=2)}'


def _corners(one: Correlation) -> Sequence[float]:
    return (one.gpu_low_cpu_low, one.gpu_low_cpu_high, one.gpu_high_cpu_low, one.gpu_high_cpu_high)


def _draw_correlation(one: Correlation) -> str:
    """How often which use of the two was seen together."""
    edges = np.linspace(0, 100.0001, _BINS + 1)
    counts, _, _ = np.histogram2d(one.cpu_values, one.gpu_values, (edges, edges))
    most = max(float(counts.max()), 1.0)

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 62, 34, 12, 46)
        style_axes(axes, grid="both")
        boxes: dict[str, list[Box]] = {}
        for x, y in np.argwhere(counts > 0).tolist():
            # The square root: seldom is seen too.
            level = int(1 + (len(HEATS) - 2) * (counts[x, y] / most) ** 0.5 + 0.5)
            boxes.setdefault(HEATS[level], []).append((edges[x], edges[y], 5.0, 5.0))
        for colour, found in boxes.items():
            add_boxes(axes, found, colour)
        axes.set_xlim(0, 100)
        percent_axis(axes)
        axes.set_ylim(0, 100)
        axes.set_xlabel("busiest core, percent", labelpad=2)
        axes.set_ylabel("GPU")
        title_axes(axes, f"{one.host} {one.gpu}")

    told = "" if one.coefficient is None else f", correlation {one.coefficient:+.2f}"
    alt = f"{one.gpu} of {one.host} against its busiest core: {one.num_samples} samples{told}"
    return draw_figure(draw, alt, width=HALF, height=320)

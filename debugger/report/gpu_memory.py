"""Memory of the GPUs: how full, how fast it fills, and whether larger batches would fit."""

from typing import TYPE_CHECKING

import numpy as np

from contract.page import to_section, to_text
from debugger.profile.data import GPU_MEMORY, Series
from debugger.report.drawing import (
    add_axes,
    draw_figure,
    percent_axis,
    style_axes,
    time_axis,
    title_axes,
)
from debugger.report.envelope import build_envelope
from debugger.report.findings import tell_rule
from debugger.report.ink import SERIES_INKS, ink
from debugger.report.view import POINTS, View, by_number, gpus_of
from debugger.report.words import to_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MANY = 16  # GPUs: their lines get fewer points


def memory_section(view: View) -> str:
    """Memory of each GPU over time, and whether larger batches would fit."""
    found = gpus_of(view, GPU_MEMORY)
    if not found:
        text = "No GPU's memory was measured."
        return to_section("GPU memory and batch size", f"<p>{text}</p>", "memory")
    rows = []
    for host, name, series in found:
        slope = _slope(view, series)
        cells = [f"{value:.1f} %" for value in np.quantile(series.values, (0.05, 0.5, 0.95, 1))]
        room = f"{100 - float(series.values.max()):.1f} %"
        rows.append((to_text(host), to_text(name), *cells, f"{slope:+.2f}", room))
    heads = ("host", "GPU", "p5", "p50", "p95", "max", "points a minute of training", "never used")
    body = (
        f"{tell_rule(view, 'GPUMemoryIncrease')}{tell_rule(view, 'BatchSize')}"
        f"{to_table(heads, rows, texts=2)}{_draw_memory(view)}"
    )
    return to_section("GPU memory and batch size", body, "memory")


def _slope(view: View, series: Series) -> float:
    """Percentage points a minute; of the training loop, since every job fills memory at first."""
    loops = [one for one in view.summary.phases if one.name == "training loop"]
    start, end = (loops[0].started_at, loops[0].started_at + loops[0].seconds) if loops else (
        series.times[0], series.times[-1],
    )  # fmt: skip
    inside = (series.times >= start) & (series.times <= end)
    minutes = (series.times[inside] - start) / 60
    is_line = len(minutes) > 1 and minutes[-1] > minutes[0]
    return float(np.polyfit(minutes, series.values[inside], 1)[0]) if is_line else 0.0


def _draw_memory(view: View) -> str:
    hosts = [(host, node) for host, node in view.hosts() if node.of(GPU_MEMORY)]
    points = POINTS if len(gpus_of(view, GPU_MEMORY)) <= _MANY else POINTS // 3
    tall = 150

    def draw(figure: "Figure") -> None:
        for row, (host, node) in enumerate(hosts):
            under = 24 + tall * (len(hosts) - 1 - row)
            axes = add_axes(figure, 52, 30 + tall * row, 90, under)
            style_axes(axes)
            percent_axis(axes)
            title_axes(axes, host, pad=6)
            for place, name in enumerate(by_number(node.of(GPU_MEMORY))[: len(SERIES_INKS)]):
                series = node.of(GPU_MEMORY)[name]
                line = build_envelope(view.since_start(series.times), series.values, points)
                # The first ones are wider, so that equal lines are seen below one another.
                width = max(4.5 - 1.4 * place, 1.6)
                axes.plot(line.times, line.high, color=ink(SERIES_INKS[place]), linewidth=width,
                          label=name)  # fmt: skip
            time_axis(axes, view.profile.seconds)
            axes.tick_params(labelbottom=row == len(hosts) - 1)
            axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False,
                        labelcolor=ink("text"), handlelength=1.2)  # fmt: skip

    alt = "GPU memory over time: " + ", ".join(
        f"{host} {name} at most {series.values.max():.0f} %"
        for host, name, series in gpus_of(view, GPU_MEMORY)[:16]
    )
    drawn = draw_figure(draw, alt, height=30 + tall * len(hosts))
    return f'<div class="wide">{drawn}</div>'

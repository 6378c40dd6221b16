"""Curves: loss and accuracy over the epochs, as a picture. The only figure with axes over time."""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from contract.theme import Theme
from train.metrics_file import EpochRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES_SCALE = 1.5  # pixels drawn for each pixel that it is meant to be shown with

_LEAST_ACCURACY_RANGE = 0.1  # a wobble of a few pictures must not fill the panel
_PANELS = ("loss", "accuracy")
_MARKERS_UP_TO = 20  # epochs; more dots than that hide the line


def draw_curves(rows: Sequence[EpochRow], best_epoch: int, theme: Theme) -> bytes:
    """PNG of two panels, train against validation, with the kept epoch marked."""
    # Not pyplot: that keeps figures and settings for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.3), dpi=100 * CURVES_SCALE, facecolor=theme.surface)
    canvas = FigureCanvasAgg(figure)
    for position, quantity in enumerate(_PANELS):
        axes = figure.add_axes((0.035 + 0.495 * position, 0.15, 0.33, 0.64))
        _draw_panel(axes, quantity, rows, best_epoch, theme)
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def _draw_panel(
    axes: "Axes", quantity: str, rows: Sequence[EpochRow], best_epoch: int, theme: Theme
) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor(theme.surface)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=theme.muted, labelsize=9, length=0)
    axes.set_title(
        quantity.capitalize(), loc="left", color=theme.text, fontsize=12, fontweight="bold", pad=22
    )
    axes.grid(axis="y", color=theme.line, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", color=theme.muted, fontsize=9)
    ends: list[tuple[float, str, str]] = []
    for split, colour in (("train", theme.train), ("validation", theme.validation)):
        points = _points(rows, f"{split}:{quantity}")
        if not points:
            continue
        epochs, values = zip(*points, strict=True)
        marker = "o" if len(points) <= _MARKERS_UP_TO else ""
        axes.plot(epochs, values, color=colour, linewidth=2, marker=marker, markersize=3.5)
        ends.append((values[-1], f"{split} {values[-1]:.3f}", colour))
        if split == "validation" and best_epoch in epochs:
            _mark_kept(axes, best_epoch, values[epochs.index(best_epoch)], theme)
    if not ends:
        axes.text(0.5, 0.5, "nothing was measured", color=theme.muted, ha="center", va="center",
                  transform=axes.transAxes)  # fmt: skip
        axes.set_xticks([])
        axes.set_yticks([])
        return
    _set_ranges(axes, quantity, rows)
    _name_lines(axes, ends, rows[-1].epoch)


def _points(rows: Sequence[EpochRow], name: str) -> list[tuple[int, float]]:
    pairs = ((row.epoch, row.metrics.get(name, math.nan)) for row in rows)
    return [(epoch, value) for epoch, value in pairs if math.isfinite(value)]


def _mark_kept(axes: "Axes", epoch: int, value: float, theme: Theme) -> None:
    axes.axvline(epoch, color=theme.muted, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
    axes.plot([epoch], [value], marker="o", markersize=9, markerfacecolor=theme.surface,
              markeredgecolor=theme.validation, markeredgewidth=2, zorder=4)  # fmt: skip
    axes.annotate(
        f"kept: epoch {epoch}",
        (epoch, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=8.5,
        color=theme.muted,
    )


def _set_ranges(axes: "Axes", quantity: str, rows: Sequence[EpochRow]) -> None:
    first, last = rows[0].epoch, rows[-1].epoch
    room = max((last - first) * 0.03, 0.5 if first == last else 0)
    axes.set_xlim(first - room, last + room)
    low, high = axes.get_ylim()
    if quantity == "loss":
        axes.set_ylim(max(0.0, low) if high > 0 else low, high)
    else:
        if high - low < _LEAST_ACCURACY_RANGE:
            low, high = low - _LEAST_ACCURACY_RANGE / 2, high + _LEAST_ACCURACY_RANGE / 2
        # A little above 1 so that a perfect line is not cut in half.
        axes.set_ylim(max(0.0, low), min(1.02, high))


def _name_lines(axes: "Axes", ends: list[tuple[float, str, str]], last_epoch: int) -> None:
    """Names beside the lines' ends, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.085
    ends = sorted(ends)
    heights = [value for value, _, _ in ends]
    if len(heights) == 2 and heights[1] - heights[0] < gap:
        middle = sum(heights) / 2
        heights = [middle - gap / 2, middle + gap / 2]
    for height, (_, text, colour) in zip(heights, ends, strict=True):
        axes.annotate(text, (last_epoch, height), xytext=(14, 0), textcoords="offset points",
                      va="center", fontsize=9.5, color=colour, annotation_clip=False)  # fmt: skip

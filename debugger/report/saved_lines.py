"""Saved tensors against steps, as the job's page draws them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import KennelError, UsageError
from debugger.folders import find_tensors
from debugger.opening import opened
from debugger.plot import Line, Panel, read_panel
from debugger.report.drawing import HALF, add_axes, draw_figure, style_axes, title_axes
from debugger.report.ink import ink
from debugger.saved import SavedTensors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INKS = {"TRAIN": "wait", "EVAL": "backward", "PREDICT": "features", "GLOBAL": "evaluate"}
_MARKERS_UP_TO = 25  # steps; more dots than that hide the line
_LOG_FROM = 100.0  # times the smallest value
_LONGEST_TITLE, _HEAD = 54, 16  # characters, and those that are kept of the beginning


@contextmanager
def saved_of(source: Path) -> Iterator[tuple[SavedTensors | None, str]]:
    """What a job saved; or None and why, which is empty where it saved nothing at all."""
    saved, reason = None, ""
    with ExitStack() as stack:
        try:
            if find_tensors(str(source)):
                saved = stack.enter_context(opened(str(source)))
        except KennelError as error:
            reason = str(error)
        if saved is not None and not saved.steps:
            saved, reason = None, "A step was begun, but none was saved as a whole."
        yield saved, reason


def panel_of(saved: SavedTensors, name: str, *reductions: str) -> Panel | None:
    """What `kennel debug plot` would draw of a tensor; None: nothing of it can be drawn.

    Args:
        reductions: what to draw instead of it, the first that was saved.
    """
    for word in (*(f"{name}:{one}" for one in reductions), name, *_instead(name)):
        with suppress(UsageError):
            return read_panel(saved, word)
    return None


def _instead(name: str) -> Iterator[str]:
    """Of a tensor that was not saved itself."""
    return (f"{name}:{one}" for one in ("variance", "abs_mean", "max", "l2"))


def draw_panel(
    panel: Panel,
    *,
    marks: Sequence[tuple[str, int]] = (),
    threshold: float | None = None,
) -> str:
    """Lines of all modes over the steps of all modes.

    Args:
        marks: mode and global step of what a rule found.
        threshold: that the values are compared with.
    """
    values = [value for line in panel.lines.values() for value in line.values]
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return ""
    has_band = any(line.lows for line in panel.lines.values())
    is_log = not has_band and min(finite) > 0 and max(finite) / min(finite) > _LOG_FROM

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 70, 34, 14, 44)
        style_axes(axes)
        if is_log:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_formatter(lambda _value, _: "")
        for mode, line in sorted(panel.lines.items()):
            _draw_line(axes, mode, line)
            for other, step in marks:
                if other == mode and step in line.steps:
                    _ring(axes, step, line.values[line.steps.index(step)])
        if threshold is not None:
            _draw_threshold(axes, threshold)
        _finish(axes, panel, has_band)

    told = "; ".join(
        f"{mode} from {line.values[0]:.4g} to {line.values[-1]:.4g}"
        for mode, line in sorted(panel.lines.items())
    )
    return draw_figure(draw, f"{panel.title} against steps: {told}", width=HALF, height=240)


def _draw_line(axes: "Axes", mode: str, line: Line) -> None:
    colour = ink(_INKS.get(mode, "backward"))
    marker = "o" if len(line.steps) <= _MARKERS_UP_TO else ""
    axes.plot(line.steps, line.values, color=colour, linewidth=1.8, marker=marker, markersize=4,
              label=mode)  # fmt: skip
    if len(line.lows) == len(line.steps):
        axes.fill_between(line.steps, line.lows, line.highs, color=colour, alpha=0.16, linewidth=0)


def _ring(axes: "Axes", step: int, value: float) -> None:
    axes.plot([step], [value], marker="o", markersize=11, markerfacecolor="none", zorder=5,
              markeredgecolor=ink("text"), markeredgewidth=1.6, linestyle="")  # fmt: skip


def _draw_threshold(axes: "Axes", threshold: float) -> None:
    axes.axhline(threshold, color=ink("text"), linewidth=0.9, linestyle=(0, (3, 2)))
    axes.text(1, threshold, f"threshold {threshold:g}", ha="right", va="bottom",
              color=ink("muted"), transform=axes.get_yaxis_transform())  # fmt: skip


def _finish(axes: "Axes", panel: Panel, has_band: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.set_xlabel("step, all modes", labelpad=2)
    axes.legend(loc="upper right", bbox_to_anchor=(1, -0.11), ncols=4, frameon=False,
                labelcolor=ink("text"), borderaxespad=0.2, handlelength=1.2)  # fmt: skip
    title = f"{panel.title} (mean, min to max)" if has_band else panel.title
    if len(title) > _LONGEST_TITLE:  # ends tell tensors apart, beginnings what is drawn of them
        title = f"{title[:_HEAD]}...{title[_HEAD + 3 - _LONGEST_TITLE :]}"
    title_axes(axes, title)

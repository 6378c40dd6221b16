"""Lines of saved tensors: what the job's page draws of them against steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import KennelError
from contract.page import to_text
from debugger.report.drawing import HALF, add_axes, draw_figure, style_axes, title_axes
from debugger.report.ink import ink
from debugger.saved import SavedTensors
from debugger.tensors import lacking, open_trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_STEPS = 240  # read for one line
_MOST_ARRAYS = 60  # of a tensor that has to be read as a whole
_INKS = {"TRAIN": "wait", "EVAL": "backward", "PREDICT": "features", "GLOBAL": "evaluate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One tensor in one mode."""

    mode: str
    what: str  # value, or abs_mean where the tensor is more than a number
    steps: list[int] = field(default_factory=list)  # of the mode
    places: list[int] = field(default_factory=list)  # global steps
    values: list[float] = field(default_factory=list)


def open_saved(folder: Path | None) -> tuple[SavedTensors | None, str]:
    """The saved tensors, or why there are none."""
    if folder is None:
        return None, ""
    reason = lacking(str(folder))
    if reason:
        return None, reason
    try:
        saved = SavedTensors(open_trial(str(folder)))
        saved.end()
    except KennelError as error:
        return None, str(error)
    return (saved, "") if saved.steps else (None, f"{folder.name} holds no step")


def read_lines(saved: SavedTensors, name: str) -> list[Line]:
    """A tensor against steps, mode by mode: its number, or the mean of its absolute values."""
    steps = [step for step in saved.steps if name in saved.names(step)]
    lines: dict[str, Line] = {}
    for step in _spread(steps, _MOST_STEPS):
        value, what = saved.scalar(name, step), "value"
        if value is None:
            break
        _take(lines, saved, step, value, what)
    if lines:
        return list(lines.values())
    for step in _spread(steps, _MOST_ARRAYS):
        found = [one["abs_mean"] for _, one in saved.reduced(name, step, ("abs_mean",))
                 if "abs_mean" in one]  # fmt: skip
        if found:
            _take(lines, saved, step, sum(found) / len(found), "abs_mean")
    return list(lines.values())


def _take(lines: dict[str, Line], saved: SavedTensors, step: int, value: float, what: str) -> None:
    moment = saved.moment(step)
    line = lines.setdefault(moment.mode, Line(mode=moment.mode, what=what))
    line.steps.append(moment.mode_step)
    line.places.append(step)
    line.values.append(value)


def _spread(steps: Sequence[int], most: int) -> list[int]:
    """At most so many, evenly, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[i] for i in np.linspace(0, len(steps) - 1, most).round().astype(int)]


def draw_lines(
    lines: Sequence[Line],
    title: str,
    *,
    marks: Sequence[tuple[str, int, float | None]] = (),
    threshold: float | None = None,
) -> str:
    """Lines of all modes over global steps.

    Args:
        marks: mode, its step, and value (None: where the line is) of what a rule found.
        threshold: that the values are compared with.
    """
    finite = [value for line in lines for value in line.values if np.isfinite(value)]
    if not finite:
        return ""
    is_log = min(finite) > 0 and max(finite) / min(finite) > 50

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 66, 34, 14, 44)
        style_axes(axes)
        if is_log:
            axes.set_yscale("log")
        for line in lines:
            marker = "o" if len(line.values) <= 20 else ""
            axes.plot(line.places, line.values, color=ink(_INKS.get(line.mode, "backward")),
                      linewidth=1.8, marker=marker, markersize=4, label=line.mode)  # fmt: skip
            _mark(axes, line, marks)
        if threshold is not None:
            axes.axhline(threshold, color=ink("text"), linewidth=0.9, linestyle=(0, (3, 2)))
            axes.text(1, threshold, f"threshold {threshold:g}", ha="right", va="bottom",
                      color=ink("muted"), transform=axes.get_yaxis_transform())  # fmt: skip
        axes.set_xlabel("step of all modes", labelpad=2)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False,
                    labelcolor=ink("text"), borderaxespad=0.2, handlelength=1.2)  # fmt: skip
        title_axes(axes, title if len(title) <= 40 else f"{title[:37]}...")

    told = "; ".join(
        f"{line.mode} from {line.values[0]:.4g} to {line.values[-1]:.4g}" for line in lines
    )
    what = "" if lines[0].what == "value" else " (mean of absolute values)"
    return draw_figure(draw, f"{title}{what} against steps: {told}", width=HALF, height=240)


def _mark(axes: "Axes", line: Line, marks: Sequence[tuple[str, int, float | None]]) -> None:
    """A ring at each step of this mode that a rule named."""
    for mode, step, value in marks:
        if mode == line.mode and step in line.steps:
            at = line.steps.index(step)
            axes.plot([line.places[at]], [line.values[at] if value is None else value], marker="o",
                      markersize=10, markerfacecolor="none", markeredgecolor=ink("text"),
                      markeredgewidth=1.6, linestyle="", zorder=5)  # fmt: skip


def tell_what(lines: Sequence[Line]) -> str:
    """What is drawn, where it is not the tensor itself. Markup."""
    is_plain = all(line.what == "value" for line in lines)
    return "" if is_plain else to_text("drawn: the mean of absolute values")

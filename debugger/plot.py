"""Plot: tensors, reductions and scalars against steps, a panel each, all modes on the same axes."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import UsageError
from contract.files import write_bytes
from contract.strict import nearest
from contract.theme import LIGHT, Theme
from debugger.saved import REDUCERS, SavedTensors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REDUCTIONS = (*REDUCERS, *(f"abs_{name}" for name in REDUCERS))
SCALAR = "scalar/"  # before the name of what `save_scalar` saved
WIDTH_INCHES, PANEL_INCHES = 9.0, 2.7
_MARKERS_UP_TO = 25  # steps; more dots than that hide the line
_SCALE_DPI = 150
# A tensor is drawn as its mean, with the band from its smallest to its largest value.
_MIDDLE, _BAND = "mean", ("min", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing in one mode."""

    steps: list[int] = field(default_factory=list)  # global ones, so that modes share an axis
    values: list[float] = field(default_factory=list)
    lows: list[float] = field(default_factory=list)  # of the band; empty without one
    highs: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One thing in all modes."""

    title: str
    lines: dict[str, Line] = field(default_factory=dict)  # by mode


def draw_plot(saved: SavedTensors, words: Sequence[str], out: Path) -> None:
    """Write a .png or .svg. A word is NAME, scalar NAME, or NAME:REDUCTION (abs_mean, l2, ...).

    Raises UsageError: an unknown name with the nearest one, or another kind of file.
    """
    if out.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--out {out}: expected a file that ends in .png or .svg")
    panels = [read_panel(saved, word) for word in words]
    write_bytes(out, draw_panels(panels, out.suffix.lower()[1:], LIGHT))


def read_panel(saved: SavedTensors, word: str) -> Panel:
    """The numbers behind one word. Raises UsageError."""
    name, reduction = _parts(saved, word)
    panel = Panel(title=name if not reduction else f"{reduction} of {name}")
    for step in saved.steps:
        if not saved.has_name(name, step):
            continue
        point = _point(saved, name, step, reduction)
        if point is None:
            continue
        value, low, high = point
        line = panel.lines.setdefault(saved.moment(step).mode, Line())
        line.steps.append(step)
        line.values.append(value)
        if low is not None and high is not None:
            line.lows.append(low)
            line.highs.append(high)
    if not panel.lines:
        raise UsageError(f"{word}: nothing that can be drawn was saved; {_offer(saved, name)}")
    return panel


def draw_panels(panels: Sequence[Panel], form: str, theme: Theme) -> bytes:
    """The picture, `png` or `svg`."""
    # Not pyplot: that keeps figures and settings for the whole process.
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    height = PANEL_INCHES * len(panels) + 0.3
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=_SCALE_DPI, facecolor=theme.surface)
    figure.subplots_adjust(
        left=0.09, right=0.86, top=1 - 0.5 / height, bottom=0.55 / height, hspace=0.55
    )
    for position, panel in enumerate(panels):
        _draw_panel(figure.add_subplot(len(panels), 1, position + 1), panel, theme)
    buffer = io.BytesIO()
    if form == "png":
        FigureCanvasAgg(figure).print_png(buffer)
    else:
        with matplotlib.rc_context({"svg.hashsalt": "kennel"}):
            FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


def _parts(saved: SavedTensors, word: str) -> tuple[str, str]:
    """The saved tensor that a word means, and the reduction it asks for."""
    name, _, last = word.rpartition(":")
    is_reduction = bool(name) and last in REDUCTIONS
    name, reduction = (name, last) if is_reduction else (word, "")
    for known in (name, f"{SCALAR}{name}"):
        if known in saved.all_names:
            return known, reduction
    if ":" in word and not is_reduction and word.rpartition(":")[0] in saved.all_names:
        raise UsageError(f"{word}: no reduction {last!r}; known: {', '.join(REDUCTIONS)}")
    raise UsageError(f"no tensor {name!r} was saved; {_offer(saved, name)}")


def _offer(saved: SavedTensors, name: str) -> str:
    near = nearest(name, saved.all_names)
    return f"did you mean {near}?" if near else "see `python -m debugger tensors` for the names"


def _point(
    saved: SavedTensors, name: str, step: int, reduction: str
) -> tuple[float, float | None, float | None] | None:
    """Value and band at a step; of several workers the mean of values and the widest band."""
    wanted = [reduction] if reduction else [_MIDDLE, *_BAND]
    if not reduction and (number := saved.scalar(name, step)) is not None:
        return number, None, None
    rows = [found for _, found in saved.reduced(name, step, wanted) if found]
    middle = reduction or _MIDDLE
    values = [row[middle] for row in rows if middle in row]
    if not values:
        return None
    lows = [row[_BAND[0]] for row in rows if _BAND[0] in row and not reduction]
    highs = [row[_BAND[1]] for row in rows if _BAND[1] in row and not reduction]
    value = sum(values) / len(values)
    return value, min(lows, default=None), max(highs, default=None)


def _draw_panel(axes: "Axes", panel: Panel, theme: Theme) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor(theme.surface)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=theme.muted, labelsize=8.5, length=0)
    axes.grid(axis="y", color=theme.line, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))
    axes.set_xlabel("step, all modes", color=theme.muted, fontsize=8.5)
    colours = {"TRAIN": theme.train, "EVAL": theme.validation}
    has_band = any(line.lows for line in panel.lines.values())
    title = f"{panel.title} (mean, from min to max)" if has_band else panel.title
    axes.set_title(title, loc="left", color=theme.text, fontsize=10.5, fontweight="bold", pad=8)
    ends: list[tuple[float, float, str, str]] = []
    for mode, line in sorted(panel.lines.items()):
        colour = colours.get(mode, theme.muted)
        marker = "o" if len(line.steps) <= _MARKERS_UP_TO else ""
        axes.plot(line.steps, line.values, color=colour, linewidth=1.7, marker=marker, markersize=3)
        if len(line.lows) == len(line.steps):
            axes.fill_between(line.steps, line.lows, line.highs, color=colour, alpha=0.15, lw=0)
        if math.isfinite(line.values[-1]):
            text = f"{mode.lower()} {line.values[-1]:.4g}"
            ends.append((line.values[-1], line.steps[-1], text, colour))
    _set_scale(axes, panel)
    _name_lines(axes, ends)


def _set_scale(axes: "Axes", panel: Panel) -> None:
    """Logarithmic where values are positive and span more than two orders of magnitude."""
    values = [value for line in panel.lines.values() for value in line.values]
    finite = [value for value in values if math.isfinite(value)]
    has_band = any(line.lows for line in panel.lines.values())
    if finite and not has_band and min(finite) > 0 and max(finite) / min(finite) > 100:
        axes.set_yscale("log")


def _name_lines(axes: "Axes", ends: list[tuple[float, float, str, str]]) -> None:
    """Each line's name at the right edge, in its colour, pushed apart where they would overlap."""
    if not ends:
        return
    axes.get_ylim()  # matplotlib finds the limits only now, and the transformation needs them
    to_display = axes.transData.transform
    to_fraction = axes.transAxes.inverted().transform
    right = max(step for _, step, _, _ in ends)
    placed = sorted(
        (float(to_fraction(to_display((right, value)))[1]), text, colour)
        for value, _, text, colour in ends
    )
    height = -math.inf
    for wanted, text, colour in placed:
        height = max(wanted, height + 0.13)
        axes.annotate(text, (1.0, height), xycoords="axes fraction", xytext=(8, 0),
                      textcoords="offset points", va="center", fontsize=9, color=colour,
                      annotation_clip=False)  # fmt: skip

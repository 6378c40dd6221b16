"""Strips: rows of coloured stretches over the time of the job."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from debugger.profile.data import FloatArray, Series
from debugger.profile.timeline_files import host_of
from debugger.report.drawing import Box, add_boxes, style_axes
from debugger.report.ink import HEATS, ink
from debugger.report.view import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CELLS, _ALL_CELLS = 120, 3200  # of a row of a heat strip at most, and of all rows together
# What a process is doing, told by the phases of its timeline; the later ones are drawn on top.
_DOING = (
    ("Decode", "decode"),
    ("FeaturePass", "features"),
    ("Step:ModeKeys.GLOBAL", "backward"),
    ("Step:ModeKeys.TRAIN", "backward"),
    ("Step:ModeKeys.EVAL", "evaluate"),
    ("Evaluate", "evaluate"),
    ("Checkpoint", "checkpoint"),
)
DOING_WORDS = {
    "decode": "decoding", "features": "feature pass", "backward": "training",
    "evaluate": "evaluation", "checkpoint": "checkpoint",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One labelled row; stretches are start, length (seconds of the job) and ink."""

    label: str
    spans: tuple[tuple[float, float, str], ...]


def job_row(view: View, host: str) -> Row:
    """What the host's first process was doing."""
    events = view.profile.events
    nodes = [node for node in dict.fromkeys(events.nodes.tolist()) if host_of(node) == host]
    if not nodes:
        return Row(label="job", spans=())
    mine = events.nodes == nodes[0]
    least = view.profile.seconds / 800  # what is shorter is not seen
    spans = []
    for phase, colour in _DOING:
        found = mine & (events.phases == phase)
        starts = view.since_start(events.starts[found])
        for start, end in merge(starts, starts + events.seconds[found], least):
            spans.append((start, max(end - start, least), colour))
    return Row(label="job", spans=tuple(spans))


def merge(starts: FloatArray, ends: FloatArray, gap: float) -> list[tuple[float, float]]:
    """Stretches in the order of their start, joined where less than `gap` lies between them."""
    merged: list[tuple[float, float]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def draw_rows(axes: "Axes", rows: Sequence[Row], seconds: float) -> None:
    """Rows from top to bottom, over the whole job."""
    style_axes(axes, grid="")
    for place, row in enumerate(reversed(rows)):
        axes.barh(place, seconds, height=0.62, color=ink("raised"), linewidth=0)
        for colour in dict.fromkeys(span[2] for span in row.spans):
            found = [(start, length) for start, length, own in row.spans if own == colour]
            axes.broken_barh(found, (place - 0.31, 0.62), color=ink(colour), linewidth=0)
    axes.set_yticks(range(len(rows)), [row.label for row in reversed(rows)])
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_xlim(0, max(seconds, 1e-3))
    axes.set_xticks([])


def draw_heat(axes: "Axes", named: Sequence[tuple[str, Series]], view: View) -> None:
    """A row for each series of percents: the mean of each stretch as a colour."""
    style_axes(axes, grid="")
    seconds = view.profile.seconds
    boxes: dict[str, list[Box]] = {}
    most = min(_CELLS, _ALL_CELLS // max(1, len(named)))
    for place, (_, series) in enumerate(reversed(named)):
        cells = min(most, max(1, len(series.times) // 2))  # or some would hold no sample
        for start, length, colour in _runs(view.since_start(series.times), series, seconds, cells):
            boxes.setdefault(colour, []).append((start, place - 0.44, length, 0.88))
    for colour, found in boxes.items():
        add_boxes(axes, found, colour, gap=0)
    axes.set_yticks(range(len(named)), [name for name, _ in reversed(named)])
    axes.set_ylim(-0.5, len(named) - 0.5)


def _runs(
    times: FloatArray, series: Series, seconds: float, cells: int
) -> list[tuple[float, float, str]]:
    """Neighbouring cells of one colour as one stretch; cells without a sample are left out."""
    place = np.minimum((times / max(seconds, 1e-9) * cells).astype(int), cells - 1)
    counts = np.bincount(place, minlength=cells)
    sums = np.bincount(place, series.values, cells)
    width = seconds / cells
    runs: list[tuple[float, float, str]] = []
    last = -2
    for cell in np.flatnonzero(counts).tolist():
        share = sums[cell] / counts[cell] / 100
        colour = HEATS[min(int(share * len(HEATS)), len(HEATS) - 1)]
        if runs and runs[-1][2] == colour and last == cell - 1:
            runs[-1] = (runs[-1][0], runs[-1][1] + width, colour)
        else:
            runs.append((cell * width, width, colour))
        last = cell
    return runs

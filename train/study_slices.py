"""Slices: one small panel a hyperparameter, the objective against its values."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from contract.study import Study
from contract.theme import Theme
from train.study_axes import (
    ObjectiveScale,
    RangeAxis,
    colour_of,
    draw_png,
    scored,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONG = 7  # characters of a tick's label
_CHARACTER, _GAP = 0.033, 0.03  # width of one, and between two labels


def draw_slice(study: Study, name: str, theme: Theme) -> bytes:
    """PNG of one panel. Early trials are pale and late ones dark: where the search went."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_axes((0.19, 0.17, 0.77, 0.69))
        style_axes(axes, theme)
        scale = ObjectiveScale.of(study)
        one = RangeAxis.of(name, study.spec.ranges[name])
        _draw_points(axes, study, one, scale, theme)
        axes.set_xlim(-0.06, 1.06)
        axes.set_ylim(scale.low, scale.high)
        axes.set_title(name, loc="left", color=theme.text, fontsize=11, fontweight="bold", pad=8)
        axes.yaxis.set_major_locator(_few_ticks())
        axes.set_xticks([place for place, _ in one.ticks])
        # Labels that would touch: every second one then stands a line lower.
        long = touch(one.ticks)
        labels = [
            ("\n" if long and index % 2 else "") + text for index, (_, text) in enumerate(one.ticks)
        ]
        drawn = axes.set_xticklabels(labels, fontsize=8.5)
        for side, text in (("left", drawn[0]), ("right", drawn[-1])):
            if len(text.get_text().strip()) > _LONG:  # it would leave the panel
                text.set_horizontalalignment(side)

    return draw_png(draw, theme, 3.4, 2.5)


def touch(ticks: Sequence[tuple[float, str]]) -> bool:
    """Whether labels on one line would run together; places are of the panel's width."""
    return any(
        right - left < (len(first) + len(second)) / 2 * _CHARACTER + _GAP
        for (left, first), (right, second) in pairwise(ticks)
    )


def _few_ticks() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5, prune="both")


def _draw_points(
    axes: "Axes", study: Study, one: RangeAxis, scale: ObjectiveScale, theme: Theme
) -> None:
    found = [
        (trial, place, trial.objective)
        for trial in scored(study)
        if (place := one.place(trial)) is not None and trial.objective is not None
    ]
    last = max((trial.number for trial, _, _ in found), default=0) or 1
    shifts = np.random.default_rng(0).uniform(-0.02, 0.02, len(found)) if one.values else 0.0
    places = np.array([place for _, place, _ in found]) + shifts
    size = 30 if len(found) <= 60 else 16 if len(found) <= 250 else 8
    colours = [colour_of(0.15 + 0.85 * trial.number / last, theme) for trial, _, _ in found]
    for marker, is_drawn in _MARKERS.items():
        chosen = [i for i, (_, _, value) in enumerate(found) if is_drawn(value, scale)]
        axes.scatter(
            places[chosen], [scale.cut(found[i][2]) for i in chosen], s=size,
            color=[colours[i] for i in chosen], marker=marker, edgecolors=theme.surface,
            linewidths=0.5, zorder=3, clip_on=False,
        )  # fmt: skip
    for trial, place, value in found:
        if trial.number == study.best:
            axes.scatter([place], [value], s=90, facecolor="none", edgecolors=theme.train,
                         linewidths=2, zorder=4)  # fmt: skip


_MARKERS: dict[str, Callable[[float, ObjectiveScale], bool]] = {
    "o": lambda value, scale: not scale.is_outside(value),
    "^": lambda value, scale: value > scale.high,
    "v": lambda value, scale: value < scale.low,
}

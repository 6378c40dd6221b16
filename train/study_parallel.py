"""Parallel coordinates: one axis a hyperparameter, one line a trial, coloured by its objective."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contract.study import Study, Trial
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

Numbers = NDArray[np.float64]

MAX_AXES = 9  # hyperparameters; more would be a thicket on any screen


def draw_parallel(study: Study, names: Sequence[str], theme: Theme) -> bytes:
    """PNG of the axes of `names`, in that order, and the objective as the last one."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_axes((0.03, 0.05, 0.88, 0.82))
        style_axes(axes, theme)
        axes.grid(visible=False)
        axes.set_xlim(0, len(names))
        axes.set_ylim(-0.04, 1.04)
        axes.set_xticks([])
        axes.set_yticks([])
        scale = ObjectiveScale.of(study)
        ranges = [RangeAxis.of(name, study.spec.ranges[name]) for name in names]
        _draw_lines(axes, study, ranges, scale, theme)
        for position, one in enumerate(ranges):
            _draw_axis(axes, position, one, theme)
            _name_axis(axes, position, one.name, len(names), theme)
        _draw_axis(axes, len(names), _objective_axis(study, scale), theme)
        _name_axis(axes, len(names), study.spec.objective.metric, len(names), theme)

    return draw_png(draw, theme, 10.5, 4.2)


def _draw_lines(
    axes: "Axes", study: Study, ranges: list[RangeAxis], scale: ObjectiveScale, theme: Theme
) -> None:
    """The best on top; on a categorical axis trials spread a little, or they hide each other."""
    from matplotlib.collections import LineCollection

    lines = []
    random = np.random.default_rng(0)
    for trial in scored(study):
        shifts = random.uniform(-0.025, 0.025, len(ranges)) * (trial.number != study.best)
        places = _places(trial, ranges, shifts)
        if places is not None and trial.objective is not None:
            places.append((scale.cut(trial.objective) - scale.low) / (scale.high - scale.low))
            lines.append((scale.goodness(trial.objective), _smooth(places), trial))
    others = sorted((line for line in lines if line[2].number != study.best), key=lambda x: x[0])
    axes.add_collection(
        LineCollection(
            [path for _, path, _ in others],
            colors=[colour_of(goodness, theme) for goodness, _, _ in others],
            linewidths=1.5 if len(others) <= 100 else 0.9,
            alpha=min(0.85, max(0.15, 60 / max(1, len(others)))),
            linestyles=["-" if t.status == "Completed" else (0, (3, 2)) for _, _, t in others],
            zorder=2,
        )
    )
    for _, path, trial in lines:
        if trial.number == study.best:
            axes.plot(path[:, 0], path[:, 1], color=theme.train, linewidth=2.6, zorder=3,
                      solid_capstyle="round")  # fmt: skip


def _places(trial: Trial, ranges: list[RangeAxis], shifts: Numbers) -> list[float] | None:
    places = []
    for one, shift in zip(ranges, shifts, strict=True):
        place = one.place(trial)
        if place is None:
            return None
        places.append(place + (float(shift) if one.values else 0.0))
    return places


def _smooth(places: list[float]) -> Numbers:
    """(points, 2). Flat where it meets an axis: the eye can follow a line through a crossing."""
    share = np.linspace(0, 1, 24)
    ease = share * share * (3 - 2 * share)
    pieces = [a + (b - a) * ease for a, b in itertools.pairwise(places)]
    across = np.concatenate([index + share for index in range(len(pieces))])
    return np.column_stack([across, np.concatenate(pieces)])


def _objective_axis(study: Study, scale: ObjectiveScale) -> RangeAxis:
    from matplotlib.ticker import MaxNLocator

    span = scale.high - scale.low
    marks = MaxNLocator(nbins=6).tick_values(scale.low, scale.high)
    inside = [float(mark) for mark in marks if scale.low <= mark <= scale.high]
    return RangeAxis(
        name=study.spec.objective.metric,
        ticks=tuple(((mark - scale.low) / span, f"{mark:.6g}") for mark in inside),
    )


def _draw_axis(axes: "Axes", position: int, one: RangeAxis, theme: Theme) -> None:
    axes.plot([position, position], [0, 1], color=theme.muted, linewidth=1, zorder=4)
    for place, text in one.ticks:
        axes.annotate(
            text, (position, place), xytext=(5, 0), textcoords="offset points", va="center",
            fontsize=8.5, color=theme.text, annotation_clip=False, zorder=5,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": theme.surface, "edgecolor": "none",
                  "alpha": 0.8},
        )  # fmt: skip
        axes.plot([position - 0.012, position + 0.012], [place, place], color=theme.muted,
                  linewidth=1, zorder=4)  # fmt: skip


def _name_axis(axes: "Axes", position: int, name: str, last: int, theme: Theme) -> None:
    """Where there are many axes, every second name stands higher, clear of its neighbours."""
    lift = 14 if last > 4 and position % 2 else 0
    is_first = position == 0
    axes.annotate(
        name if len(name) <= 22 else name[:20] + "..", (position, 1.0),
        xytext=(-6 if is_first else 0, 12 + lift), textcoords="offset points",
        ha="left" if is_first else "center", va="bottom", fontsize=9.5, color=theme.text,
        fontweight="bold", annotation_clip=False,
    )  # fmt: skip

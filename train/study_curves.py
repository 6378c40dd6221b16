"""Every trial's curve: the objective by epoch, or validation loss where it comes only once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.study import Study, Trial
from contract.theme import Theme
from train.study_axes import count_axis, draw_png, name_lines, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WHISKER = 3.0  # interquartile distances beyond which a value may leave the panel
_FALLBACKS = ("validation:loss", "validation:accuracy", "train:loss")


def curve_metric(study: Study) -> str | None:
    """What the curves show; None when no trial has any."""
    names = {name for trial in study.trials for row in trial.curves for name in row}
    wanted = (study.spec.objective.metric, *_FALLBACKS)
    return next((name for name in wanted if name in names), None)


def draw_trial_curves(study: Study, metric: str, theme: Theme) -> bytes:
    """PNG of one panel with all trials, the best highlighted."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_axes((0.065, 0.14, 0.79, 0.75))
        style_axes(axes, theme)
        curves = [Curve(trial, points) for trial in study.trials
                  if len(points := _points(trial.curves, metric))]  # fmt: skip
        _draw_lines(axes, study, curves, theme)
        _set_range(axes, study, curves)
        count_axis(axes, 1, max(float(curve.points[-1, 0]) for curve in curves))
        axes.set_xlabel("epoch", fontsize=9)
        axes.set_title(metric, loc="left", color=theme.text, fontsize=12, fontweight="bold",
                       pad=10)  # fmt: skip
        name_lines(axes, theme)

    return draw_png(draw, theme, 10.5, 3.4)


class Curve(NamedTuple):
    """One trial's line."""

    trial: Trial
    points: NDArray[np.float64]  # (epochs, 2): epoch, value


def _points(rows: Sequence[Mapping[str, float]], metric: str) -> NDArray[np.float64]:
    """Rows that have the metric, by epoch."""
    pairs = sorted((row["epoch"], row[metric]) for row in rows if metric in row)
    return np.array(pairs, dtype=float).reshape(-1, 2)


def _draw_lines(axes: "Axes", study: Study, curves: list[Curve], theme: Theme) -> None:
    from matplotlib.collections import LineCollection

    is_crowded = len(curves) > 60
    for status, words, colour in (
        ("Completed", "completed", theme.validation),
        ("Stopped", "stopped early", theme.muted),
        ("Failed", "failed", theme.muted),
        ("InProgress", "in progress", theme.muted),
    ):
        found = [c for c in curves if c.trial.status == status and c.trial.number != study.best]
        if not found:
            continue
        lines = LineCollection(
            [curve.points for curve in found], colors=colour, label=words,
            linewidths=0.8 if is_crowded else 1.3, alpha=0.35 if is_crowded else 0.6,
            linestyles="-" if status == "Completed" else [(0, (3, 2))],
        )  # fmt: skip
        axes.add_collection(lines)
        # One epoch makes no line.
        dots = [
            c for c in found if len(c.points) == 1 or (status != "Completed" and not is_crowded)
        ]
        if dots:
            ends = np.array([curve.points[-1] for curve in dots])
            axes.scatter(ends[:, 0], ends[:, 1], s=14, color=colour,
                         marker="x" if status == "Failed" else "o", linewidths=1)  # fmt: skip
    for curve in curves:
        if curve.trial.number == study.best:
            axes.plot(
                curve.points[:, 0], curve.points[:, 1], color=theme.train, linewidth=2.4, zorder=4,
                marker="o" if len(curve.points) <= 20 else "", markersize=4,
                label=f"best: trial {curve.trial.number}",
            )  # fmt: skip


def _set_range(axes: "Axes", study: Study, curves: list[Curve]) -> None:
    """What most curves need: a diverged one leaves the panel instead of flattening the others."""
    values = np.concatenate([curve.points[:, 1] for curve in curves])
    firsts = np.array([curve.points[0, 1] for curve in curves])
    first, third = np.quantile(values, [0.25, 0.75])
    reach = _WHISKER * (third - first)
    low = max(float(values.min()), float(first - reach))
    high = min(float(values.max()), max(float(third + reach), float(np.median(firsts))))
    best = [curve.points[:, 1] for curve in curves if curve.trial.number == study.best]
    if best:
        low, high = min(low, float(best[0].min())), max(high, float(best[0].max()))
    room = (high - low) * 0.05 or max(abs(high) * 0.05, 0.01)
    axes.set_ylim(low - room, high + room)

"""The picture of the learning rate finder: loss over rate, the suggestion and the range marked."""

from typing import TYPE_CHECKING

import numpy as np

from contract.theme import Theme
from train.study_axes import draw_png, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_HEADROOM = 0.35  # of the fall: how much of the explosion is shown


def draw_lr_finder(
    rates: "NDArray[np.float64]",
    losses: "NDArray[np.float64]",
    smoothed: "NDArray[np.float64]",
    advice: tuple[float, float, float] | None,
    theme: Theme,
) -> bytes:
    """PNG with a logarithmic axis. `advice`: suggested rate, low and high end of the range."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_axes((0.08, 0.15, 0.88, 0.72))
        style_axes(axes, theme)
        axes.set_xscale("log")
        axes.scatter(rates, losses, s=8, color=theme.heat[2], zorder=2, label="each step")
        axes.plot(rates[: len(smoothed)], smoothed, color=theme.validation, linewidth=2, zorder=3,
                  label="smoothed")  # fmt: skip
        top = float(smoothed[: len(smoothed) // 2 + 1].max())
        bottom = min(float(smoothed.min()), float(losses.min()))
        room = (top - bottom) or 1.0
        axes.set_ylim(bottom - 0.05 * room, top + _HEADROOM * room)
        axes.set_xlim(rates[0], max(rates[-1], 2 * rates[0]))
        axes.set_xlabel("learning rate", fontsize=9)
        axes.set_title("Training loss", loc="left", color=theme.text, fontsize=12,
                       fontweight="bold", pad=10)  # fmt: skip
        if advice is not None:
            _mark(axes, advice, theme)
        axes.legend(loc="lower left", frameon=False, fontsize=9, labelcolor=theme.text)

    return draw_png(draw, theme, 8.0, 4.0)


def _mark(axes: "Axes", advice: tuple[float, float, float], theme: Theme) -> None:
    suggested, low, high = advice
    axes.axvspan(low, high, color=theme.raised, zorder=0)
    axes.axvline(suggested, color=theme.train, linewidth=1.8, zorder=4,
                 label=f"suggested: {suggested:g}")  # fmt: skip
    axes.annotate(
        f"worth searching: {low:g} to {high:g}", (np.sqrt(low * high), 1.0),
        xycoords=("data", "axes fraction"), xytext=(0, 5), textcoords="offset points",
        ha="center", fontsize=9, color=theme.muted,
    )  # fmt: skip

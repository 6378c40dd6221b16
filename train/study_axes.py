"""What the figures of a study share: a bare figure, axes for ranges, colours for objectives."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from contract.hyperparameters import BY_NAME
from contract.ranges import CategoricalRange, Range
from contract.setting import Value
from contract.study import Study, Trial
from contract.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STUDY_SCALE = 1.5  # pixels drawn for each pixel that a figure is meant to be shown with
_COLOURS = 128
_WHISKER = 3.0  # interquartile distances beyond which a value is drawn at the edge
_LONGEST = 14  # characters of a tick's label


def draw_png(draw: Callable[["Figure"], None], theme: Theme, width: float, height: float) -> bytes:
    """PNG of what `draw` puts on an empty figure of so many inches (100 shown pixels each)."""
    # Not pyplot: that keeps figures and settings for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100 * STUDY_SCALE, facecolor=theme.surface)
    canvas = FigureCanvasAgg(figure)
    draw(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    # A page holds dozens of figures; few colours make it a quarter of the size.
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def style_axes(axes: "Axes", theme: Theme, *, grid: str = "y") -> None:
    """The look of all our figures: no frame, quiet ticks, thin grid lines behind the data."""
    axes.set_facecolor(theme.surface)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(which="both", colors=theme.muted, labelsize=9, length=0)
    axes.xaxis.label.set_color(theme.muted)
    axes.yaxis.label.set_color(theme.muted)
    axes.grid(axis=grid, color=theme.line, linewidth=0.8)
    axes.set_axisbelow(True)


def count_axis(axes: "Axes", first: float, last: float) -> None:
    """A horizontal axis of whole numbers with some room at both ends."""
    from matplotlib.ticker import MaxNLocator

    room = max((last - first) * 0.02, 0.6)
    axes.set_xlim(first - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def name_lines(axes: "Axes", theme: Theme) -> None:
    """The legend, to the right of the panel."""
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=9,
        labelcolor=theme.text,
        handletextpad=0.5,
        borderaxespad=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveScale:
    """Where objectives are drawn. One diverged trial must not flatten all the others."""

    low: float
    high: float
    maximize: bool

    @classmethod
    def of(cls, study: Study) -> "ObjectiveScale":
        """From every objective there is; values far from the bulk are left outside."""
        values = np.array([trial.objective for trial in scored(study)] or [0.0])
        first, third = np.quantile(values, [0.25, 0.75])
        reach = _WHISKER * (third - first)
        inside = values[(values >= first - reach) & (values <= third + reach)]
        low, high = float(inside.min()), float(inside.max())
        best = study.best_trial
        if best is not None and best.objective is not None:  # never outside
            low, high = min(low, best.objective), max(high, best.objective)
        room = (high - low) * 0.06 or max(abs(high) * 0.05, 0.01)
        return cls(low=low - room, high=high + room, maximize=study.spec.objective.maximize)

    def cut(self, value: float) -> float:
        """`value`, or the edge that it lies beyond."""
        return min(max(value, self.low), self.high)

    def is_outside(self, value: float) -> bool:
        """True where `cut` changes it."""
        return not self.low <= value <= self.high

    def goodness(self, value: float) -> float:
        """0 at the worse end of the scale, 1 at the better one."""
        share = (self.cut(value) - self.low) / (self.high - self.low)
        return share if self.maximize else 1 - share


def scored(study: Study) -> list[Trial]:
    """Trials with an objective that have ended, by number."""
    return [
        trial
        for trial in study.trials
        if trial.objective is not None and trial.status in ("Completed", "Stopped")
    ]


def colour_of(goodness: float, theme: Theme) -> tuple[float, float, float]:
    """The heat of a share from 0 to 1. Its pale end is left out: it would vanish."""
    from matplotlib.colors import to_rgb

    stops = np.array([to_rgb(colour) for colour in theme.heat])
    places = np.linspace(-0.45, 1, len(stops))
    red, green, blue = (float(np.interp(goodness, places, stops[:, i])) for i in range(3))
    return red, green, blue


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAxis:
    """One hyperparameter's values as places from 0 to 1, as its range scales them."""

    name: str
    ticks: tuple[tuple[float, str], ...]  # place and label
    values: tuple[Value, ...] = ()  # of a categorical range
    low: float = 0.0
    high: float = 1.0
    bend: Callable[[float], float] = float

    @classmethod
    def of(cls, name: str, given: Range) -> "RangeAxis":
        """The axis of one range of the study."""
        if isinstance(given, CategoricalRange):
            values = given.values
            ticks = tuple((_spread(i, len(values)), label(name, v)) for i, v in enumerate(values))
            return cls(name=name, ticks=ticks, values=values)
        low, high = float(given.minimum), float(given.maximum)
        plain = cls(name=name, ticks=(), low=low, high=high, bend=_BENDS[given.scaling])
        marks = _marks(low, high, given.scaling)
        return replace(plain, ticks=tuple((plain._bent(mark), _number(mark)) for mark in marks))

    def place(self, trial: Trial) -> float | None:
        """Where the trial's value lies, 0 to 1; None where it has none that the axis knows."""
        value = trial.hyperparameters.get(self.name)
        if self.values:
            known = value in self.values
            return _spread(self.values.index(value), len(self.values)) if known else None
        if value is None or isinstance(value, str):
            return None
        return self._bent(min(max(float(value), self.low), self.high))

    def _bent(self, value: float) -> float:
        start, end = self.bend(self.low), self.bend(self.high)
        return (self.bend(value) - start) / (end - start)


def label(name: str, value: Value) -> str:
    """A value as people type it, cut where it is long."""
    setting = BY_NAME.get(name)
    text = setting.to_text(value) if setting else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 2] + ".."


def _spread(index: int, count: int) -> float:
    return 0.5 if count == 1 else index / (count - 1)


def _number(value: float) -> str:
    return f"{value:g}".replace("e-0", "e-").replace("e+0", "e")


def _marks(low: float, high: float, scaling: str) -> list[float]:
    """Round numbers within the range, few enough not to touch."""
    from matplotlib.ticker import MaxNLocator

    if scaling == "Logarithmic":
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
            marks = [d * 10.0**p for p in powers for d in digits]
            inside = [m for m in marks if low * 0.9999 <= m <= high * 1.0001]
            if len(inside) >= 4:
                return inside[:: math.ceil(len(inside) / 7)]
        return [low, high]
    if scaling == "ReverseLogarithmic":
        near = [1 - digit * 10.0**-power for power in range(1, 7) for digit in (5, 2, 1)]
        inside = [mark for mark in (0.0, *near) if low <= mark <= high]
        return inside if len(inside) >= 2 else [low, high]
    ticks = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    room = (high - low) * 1e-6
    return [float(tick) for tick in ticks if low - room <= tick <= high + room]


_BENDS: dict[str, Callable[[float], float]] = {
    "Linear": float,
    "Logarithmic": math.log10,
    "ReverseLogarithmic": lambda value: -math.log10(1 - value),
}

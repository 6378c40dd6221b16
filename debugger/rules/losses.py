"""Losses: what a job's losses were, as the rules about them see it.

Our reading: a training step is a point. The batches of one evaluation are one point, their mean:
batches differ from each other, and between two of them nothing was learned. Two saved EVAL steps
belong to one evaluation when no step of another mode lies between, saved or not: then the global
step grew by as much as the mode's own.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from debugger.saved import Moment, SavedTensors

EVALUATING = ("EVAL", "PREDICT")
LOSSES = "losses"


@dataclass(frozen=True, slots=True)
class Point:
    """One loss: of a training step, or of an evaluation."""

    first: int  # global step that it begins with
    moment: Moment  # the last one
    value: float
    count: int = 1  # saved steps that it is the mean of


@dataclass(slots=True)
class _Open:
    """An evaluation that may go on."""

    first: int
    last: Moment
    values: list[float] = field(default_factory=list)

    def goes_on_with(self, moment: Moment) -> bool:
        between = moment.step - self.last.step
        return moment.mode == self.last.mode and between == moment.mode_step - self.last.mode_step

    def point(self) -> Point:
        mean = sum(self.values) / len(self.values)
        return Point(self.first, self.last, mean, len(self.values))


class Losses:
    """Losses by mode and tensor, up to the step that was reached.

    Args:
        names: the losses among the tensors of a global step.
    """

    def __init__(self, saved: SavedTensors, names: Callable[[int], list[str]]) -> None:
        self._saved, self._names = saved, names
        self._series: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
        self._open: dict[tuple[str, str], _Open] = {}
        self._reached = -1
        self._num_asked = 0
        self._modes: set[str] = set()

    def advance(self, step: int) -> None:
        """Take in every saved step up to this one."""
        for one in self._saved.between(self._reached, step):
            self._take(self._saved.moment(one))
        self._reached = max(self._reached, step)

    def close(self) -> None:
        """The job has ended: so has the last evaluation."""
        for key in list(self._open):
            self._finish(key)

    def of(self, mode: str) -> dict[str, list[Point]]:
        """By tensor, in order; evaluations that are over."""
        return self._series[mode]

    def modes(self) -> set[str]:
        """In which modes losses were saved, as far as is known, later steps included."""
        if self._num_asked != len(self._saved.steps):
            self._num_asked = len(self._saved.steps)
            steps = (step for step in self._saved.steps if self._names(step))
            self._modes.update(self._saved.moment(step).mode for step in steps)
        return self._modes

    def _take(self, moment: Moment) -> None:
        for key, open_one in list(self._open.items()):
            if not open_one.goes_on_with(moment):
                self._finish(key)
        for name in self._names(moment.step):
            value = self._saved.scalar(name, moment.step)
            if value is None:
                continue
            if moment.mode not in EVALUATING:
                self._series[moment.mode][name].append(Point(moment.step, moment, value))
                continue
            open_one = self._open.setdefault((moment.mode, name), _Open(moment.step, moment))
            open_one.last = moment
            open_one.values.append(value)

    def _finish(self, key: tuple[str, str]) -> None:
        mode, name = key
        self._series[mode][name].append(self._open.pop(key).point())

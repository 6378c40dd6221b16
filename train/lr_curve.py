"""LrCurve: the losses of a short run in which the rate grows, and what they advise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import JobError

LOWEST, HIGHEST = 1e-6, 9.0  # the rates that are tried
_LAG = 0.05  # of all steps: how far the smoothed loss looks back
_EXPLODED = 4.0  # times the lowest smoothed loss ...
_RISEN = 0.5  # ... and by so much of what guessing costs above the first
_FEWEST_LOSSES = 8
_BEYOND_NOISE = 6.0  # deviations of the first smoothed loss; the lowest of many lies deep, too
_NOTHING = 0.001  # of what guessing costs
_BELOW = 10.0  # times: how far the range reaches below the suggestion ...
_ABOVE = (2.0, 10.0)  # ... and above it, at least and at most
_MANY_EPOCHS = 5.0  # of a run: by its end it has learnt what it can at any good rate, so ...
_BEARABLE = 0.1  # ... the range ends where this share of the fall is lost again ...
_FAR_ABOVE = 20.0  # ... at most so many times above the suggestion
_DIGITS = 2  # of a rate; more would pretend


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What the run came to."""

    suggested: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LrCurve:
    """Losses by rate."""

    rates: NDArray[np.float64]  # (steps,) that were tried, growing
    losses: NDArray[np.float64]  # (steps,) of each step's pictures, finite
    num_classes: int
    epochs: float = 1.0  # how often the run saw each picture

    @classmethod
    def of(
        cls,
        rates: NDArray[np.float64],
        losses: NDArray[np.float64],
        num_classes: int,
        epochs: float = 1.0,
    ) -> "LrCurve":
        """Without what is no number. Raises JobError: hardly any is."""
        known = np.isfinite(losses)
        if not known.all() and known.sum() < _FEWEST_LOSSES:
            raise JobError(
                "the loss is not a number from the first steps on: check pictures and arch"
            )
        return cls(rates=rates[known], losses=losses[known], num_classes=num_classes, epochs=epochs)

    @property
    def has_few_pictures(self) -> bool:
        """The loss is lowest where they are learnt, and not where a rate begins to do harm."""
        return self.epochs > _MANY_EPOCHS

    @property
    def planned(self) -> int:
        """Steps that the run would have had to its end."""
        if len(self.rates) < 2:
            return 2
        step = math.log(self.rates[1] / self.rates[0])
        return round(math.log(HIGHEST / LOWEST) / step) + 1

    @property
    def lag(self) -> int:
        """Steps that the smoothed loss looks back."""
        return max(0, min(_lag_of(self.planned), len(self.losses) - 2))

    @property
    def smoothed(self) -> NDArray[np.float64]:
        """Of the first rates; the last have no average yet.

        The average looks back, so each of its values is moved to the rate from which it comes.
        """
        return smooth(self.losses.tolist(), self.planned)[self.lag :]

    def advise(self) -> Advice | None:
        """The rate at which the smoothed loss falls fastest, and a range around it.

        None where the loss fell by no more than its noise: no rate is better than another then.

        The loss is looked at over the logarithm of the rate, up to its lowest point. The range
        ends where the loss was lowest: beyond, a step does more harm than good. With few pictures
        it ends where the loss has risen again.

        Source: Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3
        (the range test); the steepest point is what fastai suggests (Howard and Gugger, 2020).
        """
        if len(self.losses) < _FEWEST_LOSSES or not self._has_fallen():
            return None
        rates, smoothed = self.rates, self.smoothed
        lowest = int(smoothed.argmin())
        slopes = np.gradient(smoothed, np.log(rates[: len(smoothed)]))[: lowest + 1]
        suggested = float(rates[slopes.argmin()])
        last, most = lowest, _ABOVE[1]
        if self.has_few_pictures:
            last, most = lowest + _until_risen(smoothed, lowest), _FAR_ABOVE
        high = min(max(float(rates[last]), suggested * _ABOVE[0]), suggested * most, HIGHEST)
        return Advice(
            suggested=_rounded(suggested), low=_rounded(suggested / _BELOW), high=_rounded(high)
        )

    def _has_fallen(self) -> bool:
        """Whether the smoothed loss fell by more than batches differ.

        Looked at in logarithms: batches of a network that answers well differ by factors. What
        lies below a thousandth of guessing counts as nothing.
        """
        logs = np.log(np.maximum(self.losses, 0.0) + _NOTHING * math.log(self.num_classes))
        smoothed = smooth(logs.tolist(), self.planned)[self.lag :]
        end = max(self.lag + int(smoothed.argmin()) + 1, 3 * self.lag, _FEWEST_LOSSES)
        bends = np.diff(logs[:end], 2)  # what falls steadily is no noise
        noise = math.sqrt(float(np.mean(bends**2)) / 6)
        weights = _decay_of(self.planned) ** np.arange(self.lag + 1)
        left = float(np.linalg.norm(weights) / weights.sum())  # of the noise, by smoothing
        return bool(smoothed[0] - smoothed.min() > _BEYOND_NOISE * left * noise)


def _until_risen(smoothed: NDArray[np.float64], lowest: int) -> int:
    """Steps from the lowest loss to the last before much of the fall is lost."""
    bearable = smoothed[lowest] + _BEARABLE * (smoothed[0] - smoothed[lowest])
    after = smoothed[lowest:]
    return int((after > bearable).argmax() or len(after)) - 1


def has_exploded(losses: Sequence[float], planned: int, num_classes: int) -> bool:
    """True when the loss is not a number, or far above the lowest so far and where it began.

    Both smoothed. The second counts in shares of what guessing costs: where a network answers well
    already, batches differ by more than any factor of the little that is left.
    """
    if not math.isfinite(losses[-1]):
        return True
    smoothed = smooth(losses, planned)
    first = smoothed[: _lag_of(planned) + 1][-1]
    is_above = smoothed[-1] > first + _RISEN * math.log(num_classes)
    return bool(is_above and smoothed[-1] > _EXPLODED * smoothed.min())


def _lag_of(planned: int) -> int:
    """Steps that the smoothed loss looks back."""
    return round(_LAG * planned)


def _decay_of(planned: int) -> float:
    return _LAG * planned / (1 + _LAG * planned)


def smooth(losses: Sequence[float], planned: int) -> NDArray[np.float64]:
    """The exponential moving average, corrected for its start at zero (Kingma and Ba, 2015)."""
    decay = _decay_of(planned)
    average, averages = 0.0, []
    for number, loss in enumerate(losses, start=1):
        average = decay * average + (1 - decay) * loss
        averages.append(average / (1 - decay**number))
    return np.array(averages)


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS - 1}e}")

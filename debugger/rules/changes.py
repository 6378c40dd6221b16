"""WeightUpdateRatio and UnchangedTensor: a tensor beside what it was."""

from collections.abc import Iterator, Mapping
from itertools import islice, takewhile

import numpy as np

from contract.rule_parameter import ParameterValue
from contract.rule_result import Finding
from contract.tensor_rules import UNCHANGED_TENSOR, WEIGHT_UPDATE_RATIO
from debugger.rules.losses import EVALUATING
from debugger.rules.rule import (
    TensorRule,
    asks_for,
    needs_selection,
    needs_values,
    nothing_selected,
    others,
    shown,
)
from debugger.saved import Moment, Values

WEIGHTS = "weights"
PARAMETERS = ("weights", "biases")


def update_ratio(before: Values, after: Values, epsilon: float) -> float:
    """mean |after - before| / (mean |before| + epsilon).

    Our reading: AWS says `ratio of updates to weights` and no more; an absolute mean of each.
    """
    before, after = before.astype(np.float64), after.astype(np.float64)
    return float(np.abs(after - before).mean() / (np.abs(before).mean() + epsilon))


class _OfHistory(TensorRule):
    """What compares with earlier steps of the same mode."""

    def earlier(self, name: str, moment: Moment) -> Iterator[Moment]:
        """Saved steps of the same mode before this one that have the tensor, newest first."""
        for step in reversed(self.saved.before(moment.step)):
            one = self.saved.moment(step)
            if one.mode == moment.mode and self.saved.has_name(name, step):
                yield one

    def has_frozen(self, name: str) -> bool:
        """Whether nothing learns this parameter; it is remembered as skipped."""
        is_parameter = any(self.saved.is_in(name, one) for one in PARAMETERS)
        if is_parameter and self.saved.is_frozen(name):
            self.frozen.add(name)
            return True
        return False

    def remarks(self) -> str:
        """Parameters that were skipped."""
        if not self.frozen:
            return ""
        return f"skipped as frozen, without a gradient: {shown(sorted(self.frozen))}"


class WeightUpdateRatio(_OfHistory):
    """Fires when a weight changes by too large or too small a share between two saved steps.

    The earlier step is the one saved before or, with `num_steps`, the oldest that is at most so
    many steps of its mode older. A weight without a gradient is frozen and skipped; where the job
    saved no gradients, one that is equal to the last bit counts as frozen. Not in EVAL, where no
    weight changes.
    Source: SageMaker developer guide, weight-update-ratio.
    """

    kind = WEIGHT_UPDATE_RATIO

    def look(self, moment: Moment) -> Finding | None:
        """Every weight of the step."""
        if moment.mode in EVALUATING:
            return None
        large, small = self.number("large_threshold"), self.number("small_threshold")
        wrong: dict[str, tuple[float, Moment]] = {}
        for name in self.saved.select(moment.step, [WEIGHTS]):
            compared = None if self.has_frozen(name) else self._ratio(name, moment)
            if compared is None:
                continue
            self.datapoints += 1
            if compared[0] > large or compared[0] < small:
                wrong[name] = compared
        if not wrong:
            return None
        name = max(wrong, key=lambda one: wrong[one][0])
        ratio, before = wrong[name]
        is_large = ratio > large
        return self.finding(
            moment,
            name,
            value=ratio,
            threshold=large if is_large else small,
            message=f"{name} changed by {ratio:.3g} of its size since step {before.mode_step}, "
            f"{'above' if is_large else 'below'} {large if is_large else small:g}"
            f"{others(len(wrong) - 1)}",
            advice=_LARGE if is_large else _SMALL,
        )

    def missing(self) -> str:
        """Weights, and two steps of them."""
        if self.datapoints or self.frozen:
            return ""
        if self.only_reduced:
            return needs_values(self.only_reduced, WEIGHTS)
        if any(self.saved.is_in(name, WEIGHTS) for name in self.saved.all_names):
            return ""
        return self.nothing_saved()

    def nothing_saved(self) -> str:
        """Weights."""
        return asks_for(WEIGHTS, "weights")

    def shortage(self) -> str:
        """Two steps."""
        if self.datapoints or self.frozen:
            return ""
        return "weights were not saved at two steps that can be compared"

    def _ratio(self, name: str, moment: Moment) -> tuple[float, Moment] | None:
        before = self._before(name, moment)
        if before is None:
            return None
        values = [next(self.arrays([name], one.step), None) for one in (moment, before)]
        if values[0] is None or values[1] is None or values[0][1].shape != values[1][1].shape:
            return None
        new, old = values[0][1], values[1][1]
        if self.saved.is_frozen(name) is None and np.array_equal(new, old):
            self.frozen.add(name)
            return None
        return update_ratio(old, new, self.number("epsilon")), before

    def _before(self, name: str, moment: Moment) -> Moment | None:
        earlier = self.earlier(name, moment)
        if self.values["num_steps"] is None:
            return next(earlier, None)
        oldest = moment.mode_step - self.count("num_steps")
        return min(takewhile(lambda one: one.mode_step >= oldest, earlier), default=None)


class UnchangedTensor(_OfHistory):
    """Fires when numpy.allclose holds for a tensor over its last `num_steps` saved steps.

    Our reading: steps of the same mode, each compared with the newest. Weights and biases are not
    looked at in EVAL, where nobody changes them, nor when they are frozen (no gradient, while
    others have one).
    Source: SageMaker developer guide, unchanged-tensor; AWS's vectors of 2019.
    """

    kind = UNCHANGED_TENSOR

    @classmethod
    def check(cls, values: Mapping[str, ParameterValue]) -> None:
        """It has to be told where."""
        needs_selection(cls.kind.name, values)

    def look(self, moment: Moment) -> Finding | None:
        """Every selected tensor of the step."""
        same: list[tuple[str, Moment]] = []
        names = self.saved.select(
            moment.step, self.texts("collection_names"), self.texts("tensor_regex")
        )
        for name in names:
            is_parameter = any(self.saved.is_in(name, one) for one in PARAMETERS)
            if (moment.mode in EVALUATING and is_parameter) or self.has_frozen(name):
                continue
            oldest = self._unchanged_since(name, moment)
            if oldest is not None:
                same.append((name, oldest))
        if not same:
            return None
        name, oldest = same[0]
        count = self.count("num_steps")
        return self.finding(
            moment,
            name,
            value=0.0,
            threshold=self.number("rtol"),
            message=f"{name} has been the same for {count} saved steps, since step "
            f"{oldest.mode_step}{others(len(same) - 1)}",
            advice=_SAME,
        )

    def missing(self) -> str:
        """Anything that was selected."""
        if self.only_reduced and not self.datapoints:
            return needs_values(
                self.only_reduced, next(iter(self.texts("collection_names")), WEIGHTS)
            )
        seen = any(
            self.saved.select(step, self.texts("collection_names"), self.texts("tensor_regex"))
            for step in self.saved.steps
        )
        return "" if seen else self.nothing_saved()

    def nothing_saved(self) -> str:
        """What it was told to look at."""
        return nothing_selected(self)

    def shortage(self) -> str:
        """Enough steps."""
        if self.datapoints or self.frozen:
            return ""
        return f"no tensor was saved at {self.count('num_steps')} steps of one mode"

    def _unchanged_since(self, name: str, moment: Moment) -> Moment | None:
        earlier = list(islice(self.earlier(name, moment), self.count("num_steps") - 1))
        if len(earlier) < self.count("num_steps") - 1:
            return None
        newest = next(self.arrays([name], moment.step), None)
        if newest is None:
            return None
        self.datapoints += 1
        for one in earlier:
            old = next(self.arrays([name], one.step), None)
            if old is None or not self._is_close(newest[1], old[1]):
                return None
        return earlier[-1]

    def _is_close(self, new: Values, old: Values) -> bool:
        return new.shape == old.shape and np.allclose(
            new,
            old,
            rtol=self.number("rtol"),
            atol=self.number("atol"),
            equal_nan=bool(self.values["equal_nan"]),
        )


_LARGE = (
    "Weights are thrown away rather than adjusted: divide lr by 10, raise warmup-epochs, or set "
    "gradient-clip = 1.0. A weight that is near 0 on purpose (a fresh head, a zero-initialised "
    "layer) may do so in its first steps."
)
_SMALL = (
    "The layer hardly learns: a larger lr, fewer frozen layers (unfreeze = last-stage or all), or "
    "look at VanishingGradient. At the end of a cosine schedule it is what is meant to happen."
)
_SAME = (
    "Nothing changes it. Weights: is lr 0 here, at the end of a schedule, or does no gradient "
    "reach the layer (rule VanishingGradient)? Losses or outputs: the network answers the same to "
    "every batch; lower lr, and look at DeadRelu."
)

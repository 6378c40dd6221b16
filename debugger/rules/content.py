"""ExplodingTensor, AllZero and TensorVariance: what a single tensor holds."""

from collections.abc import Mapping

import numpy as np

from contract.errors import SpecError
from contract.rule_parameter import ParameterValue
from contract.rule_result import Finding
from contract.tensor_rules import ALL_ZERO, EXPLODING_TENSOR, TENSOR_VARIANCE
from debugger.rules.rule import (
    TensorRule,
    needs_selection,
    needs_values,
    nothing_selected,
    others,
)
from debugger.saved import GRADIENT, REDUCERS, Moment, Values

# One number that is not finite makes these so.
_TELLING = (*(name for name in REDUCERS if name != "prod"), "abs_mean", "abs_max", "abs_sum")


def num_not_finite(values: Values, only_nan: bool) -> int:
    """How many elements are NaN, or infinite unless `only_nan`."""
    if values.dtype.kind not in "fc":
        return 0
    wrong = np.isnan(values) if only_nan else ~np.isfinite(values)
    return int(np.count_nonzero(wrong))


def percent_zero(values: Values) -> float:
    """Share of elements that are exactly 0, in percent."""
    return 100.0 * (1 - np.count_nonzero(values) / values.size)


def are_all_zero(reductions: Mapping[str, float]) -> bool | None:
    """Whether reductions say that every element is 0; None: they do not tell."""
    sizes = [value for name, value in reductions.items() if name in _SIZES[2:]]
    if not sizes and {"min", "max"} <= reductions.keys():
        sizes = [reductions["min"], reductions["max"]]
    return all(size == 0 for size in sizes) if sizes else None


def is_out_of_bounds(variance: float, low: float | None, high: float | None) -> bool:
    """Whether a variance breaks one of the bounds that are given."""
    return (high is not None and variance > high) or (low is not None and variance < low)


class ExplodingTensor(TensorRule):
    """Fires when an element of a tensor is NaN, or infinite unless `only_nan`.

    Without a selection every saved tensor is looked at. There is no limit on finite values. Of a
    tensor that was saved as reductions, a reduction that is not finite says so, too; a sum may also
    have grown infinite by itself.
    Source: SageMaker developer guide, exploding-tensor.
    """

    kind = EXPLODING_TENSOR

    def look(self, moment: Moment) -> Finding | None:
        """Every selected tensor of the step."""
        found: list[tuple[str, int, str]] = []
        for name in self._names(moment.step):
            if self.saved.has_value(name, moment.step):
                for label, values in self.saved.arrays(name, moment.step):
                    self.datapoints += 1
                    if count := num_not_finite(values, bool(self.values["only_nan"])):
                        found.append((label, count, f"{count:,} of {values.size:,} values"))
            else:
                found += self._of_reductions(name, moment.step)
        if not found:
            return None
        # The first in the order of a backward pass is not known; the first by name has to do.
        label, count, what = found[0]
        kind = "NaN" if self.values["only_nan"] else "NaN or infinite"
        return self.finding(
            moment,
            label,
            value=float(count),
            threshold=0.0,
            message=f"{label}: {what} are {kind}{others(len(found) - 1)}",
            advice=_EXPLODED,
        )

    def _names(self, step: int) -> list[str]:
        collections, regexes = self.texts("collection_names"), self.texts("tensor_regex")
        if not collections and not regexes:
            return list(self.saved.names(step))
        return self.saved.select(step, collections, regexes)

    def _of_reductions(self, name: str, step: int) -> list[tuple[str, int, str]]:
        found = []
        for label, reductions in self.saved.reduced(name, step, _TELLING):
            self.datapoints += bool(reductions)
            values = np.array(list(reductions.values()))
            if count := num_not_finite(values, bool(self.values["only_nan"])):
                names = [one for one, value in reductions.items() if not np.isfinite(value)]
                found.append((label, count, f"reductions ({', '.join(names)})"))
        return found

    def nothing_saved(self) -> str:
        """Anything."""
        return nothing_selected(self)


class AllZero(TensorRule):
    """Fires when at least `threshold` percent of a tensor are 0.

    Of a tensor that was saved as reductions only 100 % can be seen: then abs_max, abs_mean, l1 or
    l2 is 0, or min and max both are.
    Source: SageMaker developer guide, all-zero.
    """

    kind = ALL_ZERO

    @classmethod
    def check(cls, values: Mapping[str, ParameterValue]) -> None:
        """It has to be told where."""
        needs_selection(cls.kind.name, values)

    def look(self, moment: Moment) -> Finding | None:
        """Every selected tensor of the step."""
        threshold = self.number("threshold")
        found = {
            label: share
            for name in self.saved.select(
                moment.step, self.texts("collection_names"), self.texts("tensor_regex")
            )
            for label, share in self._shares(name, moment.step)
            if share >= threshold
        }
        if not found:
            return None
        label = max(found, key=lambda one: found[one])
        gradient = label.startswith(GRADIENT)
        return self.finding(
            moment,
            label,
            value=found[label],
            threshold=threshold,
            message=f"{found[label]:.4g} % of {label} are 0, {threshold:g} % are the limit"
            f"{others(len(found) - 1)}",
            advice=_NO_GRADIENT if gradient else _NO_VALUES,
        )

    def _shares(self, name: str, step: int) -> list[tuple[str, float]]:
        if self.saved.has_value(name, step):
            shares = [
                (label, percent_zero(values))
                for label, values in self.saved.arrays(name, step)
                if values.size
            ]
        else:
            shares = [
                (label, 100.0 if is_zero else 0.0)
                for label, found in self.saved.reduced(name, step, _SIZES)
                if (is_zero := are_all_zero(found)) is not None
            ]
            if not shares:
                self.only_reduced.add(name)
        self.datapoints += len(shares)
        return shares

    def nothing_saved(self) -> str:
        """What it was told to look at."""
        if self.only_reduced:
            return needs_values(self.only_reduced, _first(self, "weights"))
        return nothing_selected(self)


class TensorVariance(TensorRule):
    """Fires when the variance of a tensor's elements is above or below a bound.

    The reduction variance, or std, is enough; smdebug computes those of torch tensors with n - 1.
    Source: SageMaker developer guide, tensor-variance.
    """

    kind = TENSOR_VARIANCE

    @classmethod
    def check(cls, values: Mapping[str, ParameterValue]) -> None:
        """It has to be told where, and one bound."""
        needs_selection(cls.kind.name, values)
        if values["max_threshold"] is None and values["min_threshold"] is None:
            raise SpecError(
                "rule TensorVariance: expected max_threshold or min_threshold, got neither: "
                "without a bound it can never fire"
            )

    def look(self, moment: Moment) -> Finding | None:
        """Every selected tensor of the step."""
        low, high = self._bound("min_threshold"), self._bound("max_threshold")
        variances = {}
        for name in self.saved.select(
            moment.step, self.texts("collection_names"), self.texts("tensor_regex")
        ):
            for label, found in self.saved.reduced(name, moment.step, ["variance", "std"]):
                if not found:
                    self.only_reduced.add(name)
                    continue
                variances[label] = found.get("variance", found.get("std", 0.0) ** 2)
        self.datapoints += bool(variances)
        wrong = {
            name: value for name, value in variances.items() if is_out_of_bounds(value, low, high)
        }
        if not wrong:
            return None
        name, value = max(wrong.items(), key=lambda pair: pair[1])
        is_high = high is not None and value > high
        bound = high if is_high else low
        return self.finding(
            moment,
            name,
            value=value,
            threshold=bound,
            message=f"the variance of {name} is {value:.4g}, {'above' if is_high else 'below'} "
            f"{bound:g}{others(len(wrong) - 1)}",
            advice=_WIDE if is_high else _NARROW,
        )

    def _bound(self, name: str) -> float | None:
        value = self.values[name]
        return None if value is None else float(value)

    def nothing_saved(self) -> str:
        """What it was told to look at."""
        if self.only_reduced:
            return needs_values(self.only_reduced, _first(self, "weights"))
        return nothing_selected(self)


def _first(rule: TensorRule, otherwise: str) -> str:
    return next(iter(rule.texts("collection_names")), otherwise)


# Reductions that are 0 when all elements are, and only then; of the first two both.
_SIZES = ("min", "max", "abs_max", "abs_mean", "l1", "l2", "abs_sum")
_EXPLODED = (
    "Nothing sensible is learned from this step on. Usual causes: lr too high (divide it by 10, "
    "or raise warmup-epochs), gradients that jump (gradient-clip = 1.0), fp16 overflow "
    "(precision = bf16 or fp32). Look at the first step and its loss: if the loss was finite "
    "before, it is the update; if not, the pictures or labels of that batch."
)
_NO_GRADIENT = (
    "Nothing flows back to this layer: its output is not used, all of its units are dead (rule "
    "DeadRelu), or half precision rounds small gradients to 0 (precision = bf16 or fp32)."
)
_NO_VALUES = (
    "A layer whose tensor is 0 contributes nothing. Weights: a weight-decay that is too large, or "
    "an initialisation with zeros (head-init = he). Outputs: dead units (rule DeadRelu); try a "
    "lower lr."
)
_WIDE = (
    "Large values make a network hard to train and first steps dangerous: lower lr, raise "
    "weight-decay or warmup-epochs, or start from pretrained weights (pretrained = true)."
)
_NARROW = (
    "A tensor that hardly varies carries little: activations saturate or die, weights were "
    "initialised too small (head-init = he), or weight-decay is too large."
)

"""PoorWeightInitialization: the first steps show that a network cannot learn as it was started."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from contract.rule_result import Finding
from contract.tensor_rules import POOR_WEIGHT_INITIALIZATION
from debugger.rules.losses import LOSSES, Losses
from debugger.rules.rule import JobFacts, TensorRule, asks_for, counted
from debugger.saved import GRADIENT, Moment, Values, matches

GRADIENTS = "gradients"


def ratio_of(variances: Mapping[str, float]) -> float:
    """Largest over smallest; infinite when one is 0 and another is not."""
    largest, smallest = max(variances.values()), min(variances.values())
    if smallest > 0:
        return largest / smallest
    return math.inf if largest > 0 else 1.0


def spread(values: Values) -> float:
    """p95 - p5 of all elements."""
    low, high = np.percentile(values.astype(np.float64), [5, 95])
    return float(high - low)


def has_stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether none of the last `patience` losses is below all that came before; NaN never is."""
    if len(losses) <= patience:
        return False
    best = min(losses[:-patience])
    return not any(loss < best for loss in losses[-patience:])


class PoorWeightInitialization(TensorRule):
    """Fires when one of three tests fails in the first `steps` steps, counted from the first saved.

    a) Layers' inputs (`activation_inputs_regex`): the largest variance over the smallest is above
    `threshold`. b) A gradient's p95 - p5 is below `distribution_range`. c) The loss has not fallen
    for `patience` saved steps. What was not saved is not tested, and said so.
    Our reading: training steps only; step numbers, not the number of saved steps, because later
    steps say nothing about initialisation. Test b) is left out when a part of the network is frozen
    or the job began with pretrained weights (`fine_tuning`): their gradients are small by nature.
    Where a ReLU works in place, its input was overwritten by its output when it was saved.
    Source: SageMaker developer guide.
    """

    kind = POOR_WEIGHT_INITIALIZATION

    def start(self) -> None:
        """Where to look."""
        self.fine_tuning: bool | None = None  # None: nobody knows
        self._losses = Losses(self.saved, lambda step: self.saved.select(step, [LOSSES]))
        self._tested: set[str] = set()
        self._seen = 0  # steps that were early enough
        self._first: dict[str, int] = {}  # mode -> its first saved step

    def learn(self, facts: JobFacts) -> None:
        """Where the weights came from."""
        self.fine_tuning = facts.fine_tuned

    def look(self, moment: Moment) -> Finding | None:
        """All three tests, the first that fails."""
        if moment.mode not in ("TRAIN", "GLOBAL") or moment.mode_step >= self._until(moment.mode):
            return None
        self._losses.advance(moment.step)
        self._seen += 1
        findings = [self._inputs(moment), self._gradients(moment), self._loss(moment)]
        self.datapoints += bool(self._tested)
        return next((one for one in findings if one is not None), None)

    def missing(self) -> str:
        """One of the three kinds of tensors, at whatever step."""
        return "" if any(map(self._is_looked_at, self.saved.all_names)) else self.nothing_saved()

    def nothing_saved(self) -> str:
        """None of the three."""
        regex = ".*relu_input|.*ReLU_input"
        return f"{asks_for('relu_input', 'inputs of activations', regex)}, or gradients, or losses"

    def shortage(self) -> str:
        """Steps at the beginning."""
        if self._tested:
            return ""
        return (
            f"{counted(self._seen, 'step')} of the first {self.count('steps')} saved, and no test "
            f"could be done ({self._absent()}); for this rule save_steps = [0, 1, 2, ...] is best"
        )

    def remarks(self) -> str:
        """Which tests could not be done."""
        return f"not tested: {self._absent()}" if self._tested and self._absent() else ""

    def _absent(self) -> str:
        wanted = {
            "relu_input": f"fewer than two tensors match {self.values['activation_inputs_regex']}",
            GRADIENTS: "the network is fine-tuned, or no gradients were saved",
            LOSSES: f"fewer than {self.count('patience') + 1} losses",
        }
        return "; ".join(why for test, why in wanted.items() if test not in self._tested)

    def _is_looked_at(self, name: str) -> bool:
        regexes = [f"^{GRADIENT}", *self.texts("activation_inputs_regex")]
        collections = (LOSSES, "relu_input")
        return matches(name, regexes) or any(self.saved.is_in(name, one) for one in collections)

    def _until(self, mode: str) -> int:
        if mode not in self._first:
            moments = map(self.saved.moment, self.saved.steps)
            self._first[mode] = min(one.mode_step for one in moments if one.mode == mode)
        return self._first[mode] + self.count("steps")

    def _inputs(self, moment: Moment) -> Finding | None:
        names = self.named(moment.step, "activation_inputs_regex", "relu_input")
        variances = {
            label: found.get("variance", found.get("std", 0.0) ** 2)
            for name in names
            for label, found in self.saved.reduced(name, moment.step, ["variance", "std"])
            if found
        }
        if len(variances) < 2:
            return None
        self._tested.add("relu_input")
        ratio, limit = ratio_of(variances), self.number("threshold")
        if not ratio > limit:
            return None
        wide = max(variances, key=lambda one: variances[one])
        narrow = min(variances, key=lambda one: variances[one])
        return self.finding(
            moment,
            wide,
            value=ratio,
            threshold=limit,
            message=f"the variance of {wide} is {variances[wide]:.3g}, that of {narrow} "
            f"{variances[narrow]:.3g}: a ratio of {ratio:.3g}, {limit:g} is the limit",
            advice=_UNEVEN,
        )

    def _gradients(self, moment: Moment) -> Finding | None:
        weights = self.saved.select(moment.step, ["weights"])
        has_frozen = any(self.saved.is_frozen(name) for name in weights)
        if self.fine_tuning or has_frozen:
            return None
        names = self.saved.select(moment.step, [GRADIENTS], [f"^{GRADIENT}"])
        spreads = {
            label: spread(values)
            for label, values in self.arrays(names, moment.step)
            if values.size and np.isfinite(values).all()
        }
        if not spreads:
            return None
        self._tested.add(GRADIENTS)
        name = min(spreads, key=lambda one: spreads[one])
        limit = self.number("distribution_range")
        if spreads[name] >= limit:
            return None
        return self.finding(
            moment,
            name,
            value=spreads[name],
            threshold=limit,
            message=f"{name} hardly spreads: from its 5th to its 95th percentile it is "
            f"{spreads[name]:.3g}, below {limit:g}",
            advice=_NARROW,
        )

    def _loss(self, moment: Moment) -> Finding | None:
        patience = self.count("patience")
        for name, points in self._losses.of(moment.mode).items():
            values = [one.value for one in points if one.moment.step <= moment.step]
            if len(values) <= patience:
                continue
            self._tested.add(LOSSES)
            if has_stalled(values, patience):
                best = min(values[:-patience])
                return self.finding(
                    moment,
                    name,
                    value=min(values[-patience:]),
                    threshold=best,
                    message=f"{name} has not fallen below {best:.4g} in the last {patience} saved "
                    f"steps; it is {values[-1]:.4g}",
                    advice=_STUCK,
                )
        return None


_UNEVEN = (
    "Layers pass on signals of very different size, so one learning rate cannot suit all. Start "
    "from pretrained weights (pretrained = true), use a network with batch normalisation, or "
    "head-init = he; in a pretrained network with in-place ReLUs this is common and harmless as "
    "long as the loss falls."
)
_NARROW = (
    "Gradients that are nearly the same everywhere give nothing to learn from: weights too small "
    "or too equal. head-init = he, pretrained = true, or a larger lr with warmup-epochs."
)
_STUCK = (
    "From the start nothing is learned: lr far too high or too low (kennel run --find-lr), weights "
    "that are too small or too large (head-init = he, pretrained = true), or a warmup-epochs that "
    "is longer than these first steps, in which case raise `steps` and `patience` of this rule."
)

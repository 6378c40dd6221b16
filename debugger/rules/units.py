"""DeadRelu and SaturatedActivation: units of a layer that no longer take part."""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from contract.rule_result import Finding
from contract.tensor_rules import DEAD_RELU, SATURATED_ACTIVATION
from debugger.rules.rule import (
    TensorRule,
    asks_for,
    counted,
    needs_values,
    nothing_selected,
    others,
)
from debugger.saved import Moment, Values

LEAST_OBSERVATIONS = (
    10  # a unit that answers to one picture in four is silent for 10 in 6 % of cases
)
Counts = NDArray[np.int64]


def active_counts(active: Values) -> tuple[Counts, int]:
    """For how many observations each unit was active, and how many observations there were.

    Our reading: axis 0 are the observations (pictures). The unit of a convolution (N, C, H, W) is
    its channel, active for a picture if it is anywhere; of a linear layer (N, F) a feature; of a
    sequence (N, T, F) a feature, too. Of (F,) there is one observation.
    """
    if active.ndim == 0:
        active = active.reshape(1, 1)
    elif active.ndim == 1:
        active = active[None]
    elif active.ndim > 2:
        places = (1,) if active.ndim == 3 else tuple(range(2, active.ndim))
        active = np.logical_or.reduce(active, axis=places)
    return active.sum(axis=0).astype(np.int64), len(active)


def percent_inactive(counts: Counts, observations: int, threshold_inactivity: float) -> float:
    """Percent of units that were active in less than `threshold_inactivity` percent."""
    return 100.0 * float(np.mean(100.0 * counts / observations < threshold_inactivity))


class _OfUnits(TensorRule):
    """What both have in common: activity over the newest observations.

    Our reading: AWS does not say whether observations accumulate. `Less than 1 %` cannot be told
    from fewer than 100 observations, so as many of the newest saved steps of a mode count as give
    that many; a unit that died long ago shows, and one that is only silent for this batch does not.
    With fewer than 10 observations nothing is judged.
    """

    def start(self) -> None:
        """Nothing seen so far."""
        self._seen: dict[tuple[str, str], deque[tuple[Counts, int]]] = {}
        self._most = 0  # observations of a layer

    def look(self, moment: Moment) -> Finding | None:
        """Every layer of the step."""
        inactive: dict[str, tuple[float, int]] = {}
        for label, values in self.arrays(self._names(moment.step), moment.step):
            if not values.size or values.dtype.kind not in "fiub":
                continue
            counts, observations = self._observe(label, moment, self._is_active(label, values))
            self._most = max(self._most, observations)
            if observations < LEAST_OBSERVATIONS:
                continue
            self.datapoints += 1
            share = percent_inactive(counts, observations, self.number("threshold_inactivity"))
            if share > self.number("threshold_layer"):
                inactive[label] = share, observations
        if not inactive:
            return None
        name = max(inactive, key=lambda one: inactive[one][0])
        share, observations = inactive[name]
        return self.finding(
            moment,
            name,
            value=share,
            threshold=self.number("threshold_layer"),
            message=f"{share:.3g} % of the units of {name} {self._verb()} in all but "
            f"{self.number('threshold_inactivity'):g} % of {observations} observations"
            f"{others(len(inactive) - 1)}",
            advice=self._advice(),
        )

    def missing(self) -> str:
        """Values of the layers."""
        if self.datapoints or self._most:
            return ""
        if self.only_reduced:
            return needs_values(self.only_reduced, "relu_output")
        return self.nothing_saved()

    def shortage(self) -> str:
        """More observations."""
        if self.datapoints:
            return ""
        return f"{counted(self._most, 'observation')}, and {LEAST_OBSERVATIONS} are needed"

    def _names(self, step: int) -> list[str]:
        raise NotImplementedError

    def _is_active(self, label: str, values: Values) -> Values:
        raise NotImplementedError

    def _verb(self) -> str:
        raise NotImplementedError

    def _advice(self) -> str:
        raise NotImplementedError

    def _observe(self, label: str, moment: Moment, active: Values) -> tuple[Counts, int]:
        """Counts over this step and, where they are needed, the ones before."""
        counts, observations = active_counts(active)
        seen = self._seen.setdefault((label, moment.mode), deque())
        if seen and seen[-1][0].shape != counts.shape:
            seen.clear()
        seen.append((counts, observations))
        percent = self.number("threshold_inactivity")
        wanted = math.ceil(100 / percent) if percent else 1
        while sum(count for _, count in seen) - seen[0][1] >= wanted:
            seen.popleft()
        return np.sum([one for one, _ in seen], axis=0), sum(count for _, count in seen)


class DeadRelu(_OfUnits):
    """Fires when more than `threshold_layer` percent of a ReLU layer's units are dead.

    A unit is dead when its output is not 0 in less than `threshold_inactivity` percent of the
    observations.
    Source: SageMaker developer guide, dead-relu.
    """

    kind = DEAD_RELU

    def nothing_saved(self) -> str:
        """Outputs of ReLUs."""
        regex = str(self.values["tensor_regex"])
        asked = asks_for("relu_output", f"tensor that matches {regex}", ".*relu_output")
        return f"{asked}; where layers have other names, give rule and collection another regex"

    def _names(self, step: int) -> list[str]:
        return self.named(step, "tensor_regex", "relu_output")

    def _is_active(self, label: str, values: Values) -> Values:  # noqa: ARG002
        active: Values = values != 0
        return active

    def _verb(self) -> str:
        return "were 0"

    def _advice(self) -> str:
        return (
            "Dead units get no gradient and hardly ever come back: part of the network is lost. "
            "Lower lr (a step that is too large kills them), raise warmup-epochs, start from "
            "pretrained weights (pretrained = true), or take a network without plain ReLUs "
            "(arch = mobilenet_v3_large)."
        )


class SaturatedActivation(_OfUnits):
    """Fires when more than `threshold_layer` percent of a tanh or sigmoid layer's nodes saturate.

    A node is saturated when its input lies beyond the limits in all but less than
    `threshold_inactivity` percent of the observations. The sigmoid's limits count for tensors with
    `sigmoid` in their name, those of tanh for all others.
    Source: SageMaker developer guide, saturated-activation.
    """

    kind = SATURATED_ACTIVATION

    def nothing_saved(self) -> str:
        """Inputs of tanh and sigmoid layers."""
        return (
            f"{nothing_selected(self)}; the inputs of tanh and sigmoid layers are saved by "
            '[debugger.collections.saturating] with include_regex = ".*tanh_input|.*sigmoid_input"'
        )

    def _names(self, step: int) -> list[str]:
        return self.saved.select(step, self.texts("collection_names"), self.texts("tensor_regex"))

    def _is_active(self, label: str, values: Values) -> Values:
        name = "sigmoid" if "sigmoid" in label.lower() else "tanh"
        low, high = self.number(f"threshold_{name}_min"), self.number(f"threshold_{name}_max")
        return (values > low) & (values < high)

    def _verb(self) -> str:
        return "were saturated"

    def _advice(self) -> str:
        return (
            "Where a tanh or sigmoid is flat, no gradient passes: everything below it stops "
            "learning. Lower lr, raise weight-decay, normalise what the layer gets (batch "
            "normalisation), or start from smaller weights (head-init = xavier, pretrained = true)."
        )

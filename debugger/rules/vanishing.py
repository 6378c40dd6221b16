"""VanishingGradient: a layer no longer hears what it should change."""

from collections.abc import Mapping

from contract.rule_result import Finding
from contract.tensor_rules import VANISHING_GRADIENT
from debugger.rules.rule import TensorRule, asks_for, others
from debugger.saved import GRADIENT, Moment

GRADIENTS = "gradients"


def vanished(abs_means: Mapping[str, float], threshold: float) -> dict[str, float]:
    """Those whose mean absolute value lies below a threshold, the smallest first."""
    below = {name: mean for name, mean in abs_means.items() if mean < threshold}
    return dict(sorted(below.items(), key=lambda pair: pair[1]))


class VanishingGradient(TensorRule):
    """Fires when the mean of a gradient's absolute values is below `threshold`.

    The reduction abs_mean is enough. A frozen layer has no gradient and is no finding.
    Source: SageMaker developer guide, vanishing-gradient.
    """

    kind = VANISHING_GRADIENT

    def look(self, moment: Moment) -> Finding | None:
        """Every gradient of the step."""
        names = self.saved.select(moment.step, [GRADIENTS], [f"^{GRADIENT}"])
        means: dict[str, float] = {}
        for name in names:
            for label, found in self.saved.reduced(name, moment.step, ["abs_mean"]):
                if found:
                    means[label] = found["abs_mean"]
                else:
                    self.only_reduced.add(name)
        if not means:
            return None
        self.datapoints += 1
        threshold = self.number("threshold")
        small = vanished(means, threshold)
        if not small:
            return None
        name, mean = next(iter(small.items()))
        return self.finding(
            moment,
            name,
            value=mean,
            threshold=threshold,
            message=f"{name} is {mean:.3g} in the mean of its absolute values, below "
            f"{threshold:g}{others(len(small) - 1)}; {len(means) - len(small)} of {len(means)} "
            "gradients are larger",
            advice=_ADVICE,
        )

    def nothing_saved(self) -> str:
        """Gradients, or the one reduction that is enough."""
        if self.only_reduced:
            return (
                "gradients were saved as reductions without abs_mean: add it, "
                '[debugger.collections.gradients] reductions = "abs_mean"'
            )
        return asks_for(GRADIENTS, "gradients")


_ADVICE = (
    "These weights no longer learn. If the loss is still high: activations saturate or units are "
    "dead (rules SaturatedActivation, DeadRelu), the weights were initialised too small "
    "(head-init = he; pretrained = true), or half precision rounds small gradients to 0 "
    "(precision = bf16 or fp32); networks without batch normalisation gain from a larger lr with "
    "warmup-epochs. If the loss is near 0, the network has learned all there is: fewer epochs."
)

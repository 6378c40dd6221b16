"""The built-in rules by name: the class behind each row of contract.tensor_rules."""

from collections.abc import Mapping

from debugger.rules.changes import UnchangedTensor, WeightUpdateRatio
from debugger.rules.classes import ClassImbalance, Confusion
from debugger.rules.content import AllZero, ExplodingTensor, TensorVariance
from debugger.rules.generalization import Overfit, Overtraining
from debugger.rules.initialization import PoorWeightInitialization
from debugger.rules.loss import LossNotDecreasing
from debugger.rules.pictures import CheckInputImages
from debugger.rules.rule import TensorRule
from debugger.rules.similar import SimilarAcrossRuns
from debugger.rules.stalled import StalledTrainingRule
from debugger.rules.units import DeadRelu, SaturatedActivation
from debugger.rules.vanishing import VanishingGradient

RULE_CLASSES: Mapping[str, type[TensorRule]] = {
    one.kind.name: one
    for one in (
        VanishingGradient, ExplodingTensor, PoorWeightInitialization, SaturatedActivation,
        DeadRelu, WeightUpdateRatio, UnchangedTensor, LossNotDecreasing, Overfit, Overtraining,
        AllZero, TensorVariance, ClassImbalance, Confusion, StalledTrainingRule,
        CheckInputImages, SimilarAcrossRuns,
    )
}  # fmt: skip

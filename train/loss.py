"""The loss of a step: cross-entropy with label smoothing, class weights and mixup."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.hyperparameters import Hyperparameters
from train.batches import STEP_STREAM


def weight_of(targets: Tensor, class_weights: Tensor | None) -> Tensor | int:
    """What a mean over these pictures divides by: their number, or their classes' weights."""
    if class_weights is None:
        return len(targets)
    return class_weights[targets.to(class_weights.device)].sum()


def summed_loss(
    module: nn.Module,
    values: Hyperparameters,
    inputs: Tensor,
    targets: Tensor,
    *,
    step: int,
    class_weights: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy (scalar) and logits, with mixup (Zhang et al., 2018) when it is on.

    `step`: of the whole run; mixup draws from it.
    """

    def entropy(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(
            logits.float(),
            labels,
            class_weights,
            reduction="sum",
            label_smoothing=values.label_smoothing,
        )

    if values.mixup == 0:
        logits = module(inputs)
        return entropy(logits, targets), logits
    generator = np.random.default_rng([values.seed, STEP_STREAM, step])
    share = float(generator.beta(values.mixup, values.mixup))
    partner = torch.from_numpy(generator.permutation(len(targets))).to(targets.device)
    mixed = inputs.float() * share + inputs[partner].float() * (1 - share)
    logits = module(mixed)
    loss = share * entropy(logits, targets) + (1 - share) * entropy(logits, targets[partner])
    return loss, logits

"""Scores of one pass: probabilities in, loss and accuracy out."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a network answered for every picture of a split."""

    loss: float  # mean cross-entropy, without label smoothing
    accuracy: float  # top-1, 0 to 1
    probabilities: Tensor  # float32 (N, K), on the CPU

    @classmethod
    def of(cls, logits_NK: Tensor, targets: Tensor) -> "Scores":
        """Exact over all N pictures, however they were batched."""
        logits = logits_NK.float().cpu()
        targets = targets.cpu()
        return cls(
            loss=float(F.cross_entropy(logits, targets)),
            accuracy=float((logits.argmax(dim=1) == targets).double().mean()),
            probabilities=logits.softmax(dim=1),
        )

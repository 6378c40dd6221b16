"""Scores of one pass: probabilities in, loss and accuracy out."""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from train.group import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a network answered for every picture of a split."""

    loss: float  # mean cross-entropy, without label smoothing
    accuracy: float  # top-1, 0 to 1
    probabilities: Tensor  # float32 (N, K), on the CPU
    targets: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))  # (N,)

    @classmethod
    def of(cls, logits_NK: Tensor, targets: Tensor) -> "Scores":
        """Exact over all N pictures, however they were batched."""
        logits = logits_NK.float().cpu()
        targets = targets.cpu()
        return cls(
            loss=float(F.cross_entropy(logits, targets)),
            accuracy=float((logits.argmax(dim=1) == targets).double().mean()),
            probabilities=logits.softmax(dim=1),
            targets=targets,
        )


def pool_scores(logits_BK: Tensor, ours: np.ndarray, targets: Tensor, group: Group) -> Scores:
    """Scores of all processes' pictures, the same loss and accuracy for everybody.

    Args:
        logits_BK: of our pictures, on the CPU.
        ours: which of `targets`, the whole split's, they belong to.

    Only the leader gets probabilities.
    """
    if group.is_alone:
        return Scores.of(logits_BK, targets)
    indices = [index for part in group.gather(ours.tolist()) for index in part]
    parts = group.collect(logits_BK)
    scores = Scores.of(torch.cat(parts)[np.argsort(indices)], targets) if parts else None
    loss, accuracy = group.share([scores.loss, scores.accuracy] if scores else None)
    return scores or Scores(loss=loss, accuracy=accuracy, probabilities=logits_BK[:0])

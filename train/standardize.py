"""Standardizer: features with one mean and deviation, whatever the trunk makes of pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# So that the learning rates people know fit a head, also in a few epochs. Measured on the dogs
# (squeezenet1_1, lr 0.001, five epochs, validation): 0.24 with 0.2 and a usual random start; 0.33
# with 0.5 and 0.35 with 1, both from a tenth of it. With 1 the best rate is at the lower end of
# what people search.
FEATURE_DEVIATION = 0.5
# Of the deviation that layers usually begin with: what is random in a new head only has to be
# unlearnt. Not 0, so that a step can be compared with the weights it changes.
NEW_HEAD_SCALE = 0.1
_BLOCK_ROWS = 4096  # of a table, worked on in float64 at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardizer:
    """Shift and scale of features to mean 0 and one deviation, folded into the head at the end."""

    mean: Tensor  # (D,)
    scale: Tensor  # (D,), or () for one that all have; never 0

    @classmethod
    def of(cls, views_VND: Tensor) -> "Standardizer":
        """From the training features. A feature that hardly varies is not blown up: the scale
        is never below a hundredth of the typical one."""
        flat = views_VND.flatten(0, 1)
        mean = torch.stack([block.double().sum(dim=0) for block in flat.split(_BLOCK_ROWS)])
        mean = mean.sum(dim=0) / len(flat)
        squares = torch.stack(
            [(block.double() - mean).square().sum(dim=0) for block in flat.split(_BLOCK_ROWS)]
        )
        deviation = (squares.sum(dim=0) / len(flat)).sqrt()
        typical = float(deviation.square().mean().sqrt()) or 1.0
        return cls(
            mean=mean.float(),
            scale=(deviation.clamp_min(0.01 * typical) / FEATURE_DEVIATION).float(),
        )

    def apply_(self, features: Tensor) -> Tensor:
        """As calling it, without a copy: `features` themselves are changed."""
        return features.sub_(self.mean).div_(self.scale)

    def __call__(self, features: Tensor) -> Tensor:
        """Standardised features, any shape (..., D)."""
        return (features - self.mean) / self.scale

    def into_head(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """A head for raw features that answers as (weight, bias) does for standardised ones."""
        raw_weight = weight.double() / self.scale.double()
        return raw_weight.float(), (bias.double() - raw_weight @ self.mean.double()).float()

    def from_head(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `into_head`: where an earlier model's head starts."""
        return weight * self.scale, bias + weight @ self.mean

    def beginning(self, head: nn.Linear, *, continues: bool) -> tuple[Tensor, Tensor]:
        """Weight and bias to begin with: a head that was trained before answers as it did."""
        if continues:
            return self.from_head(head.weight, head.bias)
        return head.weight * NEW_HEAD_SCALE, head.bias * NEW_HEAD_SCALE


class StandardizedHead(nn.Linear):
    """The head of a network that learns through its trunk; takes raw features.

    Features may be of any size (SqueezeNet's are 15, MobileNet's 0.1), and both the loss at the
    start and the step that a learning rate makes grow with it. Mean and scale stay as they are at
    the start: the trunk learns to go on from there. Parameters bear the names of a plain head's.
    """

    def __init__(self, head: nn.Linear, standardizer: Standardizer, *, continues: bool) -> None:
        super().__init__(head.in_features, head.out_features, device=head.weight.device)
        weight, bias = standardizer.beginning(head, continues=continues)
        with torch.no_grad():
            self.weight.copy_(weight)
            self.bias.copy_(bias)
        self.register_buffer("feature_mean", standardizer.mean)
        self.register_buffer("feature_scale", standardizer.scale)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, K) of raw features (N, D)."""
        return super().forward((features - self.feature_mean) / self.feature_scale)

    def plain(self) -> nn.Linear:
        """The same answers from an ordinary layer."""
        head = nn.Linear(self.in_features, self.out_features, device=self.weight.device)
        standardizer = Standardizer(mean=self.feature_mean, scale=self.feature_scale)
        weight, bias = standardizer.into_head(self.weight, self.bias)
        with torch.no_grad():
            head.weight.copy_(weight)
            head.bias.copy_(bias)
        return head

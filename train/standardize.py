"""Standardizer: features with one mean and deviation, whatever the trunk makes of pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor

# So that the learning rates people know fit a head, also in a few epochs. Measured on the dogs
# (squeezenet1_1, lr 0.001, five epochs, validation): 0.24 with 0.2 and a usual random start; 0.33
# with 0.5 and 0.35 with 1, both from a tenth of it. With 1 the best rate is at the lower end of
# what people search.
FEATURE_DEVIATION = 0.5
_BLOCK_ROWS = 4096  # of a table, worked on in float64 at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardizer:
    """Shift and scale of features to mean 0 and one deviation, folded into the head at the end."""

    mean: Tensor  # (D,)
    scale: Tensor  # (D,), never 0

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

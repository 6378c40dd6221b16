"""Layers that see a whole step although this process holds only its share of the pictures.

Batch norm takes its statistics over all processes, and dropout draws for all pictures, so that
training on several processes follows the curve of one process with the same batch size.
"""

from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from train.batches import Batch


@dataclass(kw_only=True)
class StepShare:
    """Which rows of the step under way are ours; the loop sets it, the layers read it."""

    places: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    total: int = 0

    def begin(self, batch: Batch) -> None:
        """A step begins."""
        self.places, self.total = batch.places, len(batch.step_targets)

    def draw(self, like: Tensor, shape: tuple[int, ...], keep: float) -> Tensor:
        """Our rows of a 0/1 mask for the whole step, drawn as one process would draw it."""
        layout = torch.contiguous_format
        if len(shape) == 4 and like.is_contiguous(memory_format=torch.channels_last):
            layout = torch.channels_last
        mask = torch.empty(
            (self.total, *shape[1:]), dtype=like.dtype, device=like.device, memory_format=layout
        )
        return mask.bernoulli_(keep)[self.places.to(like.device)]

    def __deepcopy__(self, memo: object) -> "StepShare":
        return self  # the moving average copies the network; there is only one step under way


class _Total(torch.autograd.Function):
    """A sum over all processes whose gradient is the sum of theirs."""

    @staticmethod
    def forward(_context: object, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def total_of(values: Tensor) -> Tensor:
    """`values` summed over all processes, for autograd. All must call it, in the same order."""
    total: Tensor = _Total.apply(values)
    return total


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the pictures of all processes, on any device; a share may be empty.

    torch has its own for GPUs only. Mean and variance are summed one after the other: the
    variance of large values would otherwise lose its digits.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Like BatchNorm2d, but every process must call it."""
        if not self.training:
            return super().forward(input)
        dims = [0, *range(2, input.ndim)]
        shape = [1, -1, *[1] * (input.ndim - 2)]
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        count = values.new_tensor([values[:, 0].numel()])
        sums = total_of(torch.cat([values.sum(dims), count]))
        total = sums[-1].detach()
        mean = sums[:-1] / total
        centred = values - mean.view(shape)
        variance = total_of(centred.square().sum(dims)) / total
        self._remember(mean.detach(), variance.detach(), total)
        result = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return result.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, total: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum or 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (total / (total - 1).clamp_min(1)), share)


class SharedDropout(nn.Dropout):
    """Dropout of our rows of the step."""

    def __init__(self, p: float, step: StepShare) -> None:
        super().__init__(p)
        self._step = step

    def forward(self, input: Tensor) -> Tensor:
        """`input` with elements set to zero, the rest scaled up."""
        if not self.training or self.p == 0:
            return input
        if self.p == 1:
            return input * 0
        mask = self._step.draw(input, tuple(input.shape), 1 - self.p)
        return input * mask / (1 - self.p)


class SharedStochasticDepth(StochasticDepth):
    """Stochastic depth (Huang et al., 2016) of our rows of the step."""

    def __init__(self, p: float, mode: str, step: StepShare) -> None:
        super().__init__(p, mode)
        self._step = step

    def forward(self, input: Tensor) -> Tensor:
        """`input` with whole rows set to zero, the rest scaled up."""
        if not self.training or self.p in (0, 1) or self.mode != "row":
            return super().forward(input)
        keep = 1 - self.p
        mask = self._step.draw(input, (len(input), *[1] * (input.ndim - 1)), keep)
        return input * (mask / keep)


def share_layers(module: nn.Module, step: StepShare) -> None:
    """Replace, below `module`, the layers that would see only our share. Weights are kept."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, _shared_norm(child))
        elif type(child) is nn.Dropout:
            setattr(module, name, SharedDropout(child.p, step).train(child.training))
        elif type(child) is StochasticDepth:
            depth = SharedStochasticDepth(child.p, child.mode, step)
            setattr(module, name, depth.train(child.training))
        else:
            share_layers(child, step)


def _shared_norm(norm: nn.BatchNorm2d) -> SharedBatchNorm:
    shared = SharedBatchNorm(
        norm.num_features,
        eps=norm.eps,
        momentum=norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
    )
    shared.weight, shared.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers(recurse=False):
        setattr(shared, name, buffer)
    return shared.train(norm.training)

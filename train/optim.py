"""The optimizer, the learning-rate schedule and the moving average of weights."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from contract.hyperparameters import Hyperparameters


def build_optimizer(module: nn.Module, values: Hyperparameters) -> torch.optim.Optimizer:
    """The optimizer over what learns. Biases and norms (one-dimensional) are never decayed.

    Fused where torch has it: one pass over memory a step instead of one an operation.
    """
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": values.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if values.optimizer in ("sgd", "nag"):
        nesterov = values.optimizer == "nag" and values.momentum > 0
        return torch.optim.SGD(
            groups, lr=values.lr, momentum=values.momentum, nesterov=nesterov, fused=True
        )
    if values.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=values.lr, momentum=values.momentum)
    adam = torch.optim.AdamW if values.optimizer == "adamw" else torch.optim.Adam
    return adam(groups, lr=values.lr, fused=True)


def lr_factor(values: Hyperparameters, step: int, steps_per_epoch: int) -> float:
    """What `lr` is multiplied by at optimizer step `step`, 0-based over the whole run.

    Linear warm-up (first step already above 0), then cosine to 0 (Loshchilov and Hutter, 2017),
    constant, or falling by lr-step-factor at the start of each of lr-step-epochs.
    """
    total = values.epochs * steps_per_epoch
    warmup = min(round(values.warmup_epochs * steps_per_epoch), total // 2)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if values.schedule == "constant":
        return 1.0
    if values.schedule == "step":
        passed = sum(step // steps_per_epoch >= epoch for epoch in values.step_epochs())
        return values.lr_step_factor**passed
    progress = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The same learning rate for every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def build_average(module: nn.Module, decay: float) -> AveragedModel | None:
    """The exponential moving average of weights and buffers, or None when `decay` is 0."""
    if decay == 0:
        return None
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def class_weights(targets: Sequence[int], num_classes: int) -> torch.Tensor:
    """float32 (K,): N / (K * count), so that every class weighs the same in the loss."""
    counts = torch.bincount(torch.as_tensor(targets), minlength=num_classes).clamp_min(1)
    return (counts.sum() / (num_classes * counts)).float()


def loss_weights(
    values: Hyperparameters, targets: Sequence[int], num_classes: int, device: torch.device
) -> torch.Tensor | None:
    """`class_weights` on the device when `balance` asks for them, else None."""
    if values.balance != "weights":
        return None
    return class_weights(targets, num_classes).to(device)

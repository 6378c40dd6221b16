import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from contract.hyperparameters import Hyperparameters
from train.optim import build_average, build_optimizer, class_weights, lr_factor, set_lr

LR, DECAY, MOMENTUM = 0.1, 0.3, 0.8
START = np.array([[1.0, -2.0, 0.5]])
BIAS = np.array([0.25])
GRADIENTS = [np.array([[0.5, -0.1, 2.0]]), np.array([[-1.0, 0.4, 0.1]])]


def sgd(w, gradients, decay, *, nesterov=False):
    velocity = np.zeros_like(w)
    for gradient in gradients:
        gradient = gradient + decay * w
        velocity = MOMENTUM * velocity + gradient
        w = w - LR * (gradient + MOMENTUM * velocity if nesterov else velocity)
    return w


def nag(w, gradients, decay):
    return sgd(w, gradients, decay, nesterov=True)


def adam(w, gradients, decay, *, decoupled=False):
    mean, square = np.zeros_like(w), np.zeros_like(w)
    for step, gradient in enumerate(gradients, start=1):
        if decoupled:
            w = w - LR * decay * w
        else:
            gradient = gradient + decay * w
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        w = w - LR * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return w


def adamw(w, gradients, decay):
    return adam(w, gradients, decay, decoupled=True)


def rmsprop(w, gradients, decay):
    square, velocity = np.zeros_like(w), np.zeros_like(w)
    for gradient in gradients:
        gradient = gradient + decay * w
        square = 0.99 * square + 0.01 * gradient**2
        velocity = MOMENTUM * velocity + gradient / (np.sqrt(square) + 1e-8)
        w = w - LR * velocity
    return w


@pytest.mark.parametrize("rule", [sgd, nag, adam, adamw, rmsprop])
def test_two_steps_are_those_written_by_hand_and_biases_are_not_decayed(rule):
    layer = nn.Linear(3, 1).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(START))
        layer.bias.copy_(torch.from_numpy(BIAS))
    values = replace(
        Hyperparameters(), optimizer=rule.__name__, lr=LR, weight_decay=DECAY, momentum=MOMENTUM
    )
    optimizer = build_optimizer(layer, values)
    for gradient in GRADIENTS:
        layer.weight.grad = torch.from_numpy(gradient)
        layer.bias.grad = torch.from_numpy(gradient[0, :1].copy())
        optimizer.step()
    by_hand = rule(START, GRADIENTS, DECAY)
    assert np.allclose(layer.weight.detach().numpy(), by_hand, rtol=1e-9)
    bias_by_hand = rule(BIAS, [gradient[0, :1] for gradient in GRADIENTS], 0.0)
    assert np.allclose(layer.bias.detach().numpy(), bias_by_hand, rtol=1e-9)


def test_only_what_learns_is_given_to_the_optimizer():
    layer = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    layer[0].requires_grad_(False)
    optimizer = build_optimizer(layer, Hyperparameters())
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in layer[1].parameters()}


def test_nag_without_momentum_is_plain_sgd():
    values = replace(Hyperparameters(), optimizer="nag", momentum=0.0)
    assert not build_optimizer(nn.Linear(1, 1), values).defaults["nesterov"]


def factors(count, steps_per_epoch, **changes):
    values = replace(Hyperparameters(), **changes)
    return [lr_factor(values, step, steps_per_epoch) for step in range(count)]


def test_warm_up_is_linear_and_starts_above_zero():
    got = factors(6, 4, epochs=10, warmup_epochs=1.0, schedule="constant")
    assert got == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1])


def test_warm_up_takes_at_most_half_of_the_run():
    got = factors(4, 2, epochs=2, warmup_epochs=100, schedule="constant")
    assert got == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_cosine_falls_from_one_to_nearly_zero():
    got = factors(8, 4, epochs=2, warmup_epochs=0)
    expected = [(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert got == pytest.approx(expected)
    assert got[4] == pytest.approx(0.5)


def test_steps_fall_at_the_start_of_their_epochs():
    got = factors(
        8, 2, epochs=4, warmup_epochs=0, schedule="step", lr_step_epochs="3,1", lr_step_factor=0.1
    )
    assert got == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_the_learning_rate_is_set_in_every_group():
    optimizer = build_optimizer(nn.Linear(2, 2), Hyperparameters())
    set_lr(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]


def test_the_moving_average_follows_its_formula_buffers_included():
    torch.manual_seed(0)
    module = nn.BatchNorm1d(3)
    average = build_average(module, 0.9)
    weight = mean = None
    for step in range(4):
        with torch.no_grad():
            module.weight.copy_(torch.randn(3))
            module.running_mean.copy_(torch.randn(3))
        average.update_parameters(module)
        new = module.weight.detach().clone(), module.running_mean.clone()
        weight = new[0] if step == 0 else 0.9 * weight + 0.1 * new[0]
        mean = new[1] if step == 0 else 0.9 * mean + 0.1 * new[1]
    assert torch.allclose(average.module.weight, weight, atol=1e-6)
    assert torch.allclose(average.module.running_mean, mean, atol=1e-6)
    assert build_average(module, 0.0) is None


def test_class_weights_make_every_class_weigh_the_same():
    targets = np.array([0] * 7 + [1] * 2 + [2])
    weights = class_weights(targets, 3).numpy()
    assert weights == pytest.approx([10 / (3 * 7), 10 / (3 * 2), 10 / (3 * 1)])
    assert np.allclose([weights[label] * (targets == label).sum() for label in range(3)], 10 / 3)
    assert torch.isfinite(class_weights(targets, 5)).all()

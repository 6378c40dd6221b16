import copy
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from training import CPU

from contract.errors import JobError
from contract.hyperparameters import Hyperparameters
from train.batches import STEP_STREAM, FeatureBatches, Order
from train.loop import Fit, Progressing, Task, fit
from train.scoring import Scores
from train.stop import Stop

# Plain settings: every test switches on the one thing that it is about.
PLAIN = replace(
    Hyperparameters(),
    epochs=1,
    batch_size=16,
    lr=0.1,
    optimizer="sgd",
    momentum=0.0,
    weight_decay=0.0,
    schedule="constant",
    warmup_epochs=0.0,
    label_smoothing=0.0,
    early_stopping_patience=0,
)
WIDTH, CLASSES, PICTURES = 4, 3, 32
GENERATOR = torch.Generator().manual_seed(0)
FEATURES = torch.randn(PICTURES, WIDTH, generator=GENERATOR)
TARGETS = torch.randint(0, CLASSES, (PICTURES,), generator=GENERATOR).numpy()


def state_for(validate=None, targets=TARGETS, weights=None, module=None, **changes):
    """A Fit of one linear layer on 32 points. `validate` takes (module, epoch)."""
    values = replace(PLAIN, **changes)
    if module is None:
        torch.manual_seed(1)
        module = nn.Linear(WIDTH, CLASSES)
    order = Order(targets=targets, batch_size=values.batch_size, seed=values.seed)
    calls = iter(range(1, 10**6))

    def judge(judged, _stop):
        if validate:
            return validate(judged, next(calls))
        with torch.no_grad():
            return Scores.of(judged(FEATURES[: len(targets)]), torch.from_numpy(targets))

    task = Task(
        module=module,
        batches=FeatureBatches(FEATURES[None, : len(targets)], order),
        validate=judge,
        set_training=module.train,
        class_weights=weights,
    )
    return Fit(task=task, values=values, device=CPU)


def scores(accuracy, loss=1.0):
    return Scores(loss=loss, accuracy=accuracy, probabilities=torch.zeros(0))


def run(state, stop=None, **outside):
    fit(state, stop or Stop(), Progressing(**outside))
    return state


def sgd_by_hand(state, loss_of):
    """Weights after the steps of one epoch, from `loss_of(logits, targets, step)`."""
    module = copy.deepcopy(state.task.module)
    for step, (inputs, targets, *_) in enumerate(state.task.batches.of_epoch(1)):
        module.zero_grad()
        loss_of(module, inputs, targets, step).backward()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter -= state.values.lr * parameter.grad
    return module.weight


def test_an_epoch_is_plain_gradient_descent():
    state = state_for()
    expected = sgd_by_hand(state, lambda m, x, y, _: F.cross_entropy(m(x), y))
    run(state)
    assert torch.allclose(state.task.module.weight, expected, atol=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_label_smoothing_spreads_a_share_over_all_classes(share):
    state = state_for(label_smoothing=share)

    def loss_of(module, inputs, targets, _step):
        spread = F.one_hot(targets, CLASSES) * (1 - share) + share / CLASSES
        return -(spread * module(inputs).log_softmax(dim=1)).sum(dim=1).mean()

    expected = sgd_by_hand(state, loss_of)
    assert torch.allclose(run(state).task.module.weight, expected, atol=1e-6)


def test_mixup_mixes_inputs_and_losses_by_one_share():
    state = state_for(mixup=0.4)

    def loss_of(module, inputs, targets, step):
        draw = np.random.default_rng([0, STEP_STREAM, step])
        share, partner = draw.beta(0.4, 0.4), draw.permutation(len(targets))
        logits = module(share * inputs + (1 - share) * inputs[partner]).log_softmax(dim=1)
        mixed = share * F.one_hot(targets, CLASSES) + (1 - share) * F.one_hot(
            targets[partner], CLASSES
        )
        return -(mixed * logits).sum(dim=1).mean()

    expected = sgd_by_hand(state, loss_of)
    assert torch.allclose(run(state).task.module.weight, expected, atol=1e-6)


def test_class_weights_weigh_the_loss():
    weights = torch.tensor([0.5, 2.0, 1.0])
    state = state_for(weights=weights)

    def loss_of(module, inputs, targets, _step):
        each = -module(inputs).log_softmax(dim=1)[torch.arange(len(targets)), targets]
        return (weights[targets] * each).sum() / weights[targets].sum()

    expected = sgd_by_hand(state, loss_of)
    assert torch.allclose(run(state).task.module.weight, expected, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_batches_of_16_accumulated_are_one_of_32(optimizer):
    settings = {"optimizer": optimizer, "weight_decay": 0.01, "momentum": 0.9, "epochs": 3}
    one = run(state_for(batch_size=32, **settings))
    two = run(state_for(batch_size=16, gradient_accumulation=2, **settings))
    assert torch.allclose(one.task.module.weight, two.task.module.weight, atol=1e-5)


def test_what_is_left_at_an_epochs_end_is_averaged_over_itself():
    """Three batches, two a step: the second step is one batch at its full weight."""
    state = state_for(targets=TARGETS[:24], batch_size=8, gradient_accumulation=2)
    module = copy.deepcopy(state.task.module)
    batches = list(state.task.batches.of_epoch(1))
    for group in (batches[:2], batches[2:]):
        module.zero_grad()
        inputs, targets, *_ = (torch.cat(parts) for parts in zip(*group, strict=True))
        F.cross_entropy(module(inputs), targets).backward()
        with torch.no_grad():
            module.weight -= 0.1 * module.weight.grad
            module.bias -= 0.1 * module.bias.grad
    run(state)
    assert torch.allclose(state.task.module.weight, module.weight, atol=1e-6)


def test_gradients_are_clipped_to_the_norm():
    state = state_for(batch_size=32, gradient_clip=0.01)
    before = state.task.module.weight.detach().clone(), state.task.module.bias.detach().clone()
    run(state)
    moved = [
        after - start for after, start in zip(state.task.module.parameters(), before, strict=True)
    ]
    norm = math.sqrt(sum(float(part.detach().square().sum()) for part in moved))
    assert norm == pytest.approx(0.1 * 0.01, rel=1e-3)


def test_the_moving_average_is_what_is_judged_and_kept():
    judged = []

    def validate(module, epoch):
        judged.append(module.weight.detach().clone())
        return scores(epoch / 9)

    state = state_for(validate, ema_decay=0.7, epochs=2)
    steps, weight = [], state.task.module.weight
    state.optimizer.register_step_post_hook(lambda *_: steps.append(weight.detach().clone()))
    run(state)
    average = steps[0]
    for weight in steps[1:]:
        average = 0.7 * average + 0.3 * weight
    assert torch.allclose(judged[-1], average, atol=1e-6)
    assert torch.equal(state.best_state["weight"], judged[-1])
    assert not torch.allclose(weight, average, atol=1e-4)


def test_the_metrics_of_an_epoch_are_those_of_a_plain_loop():
    state = state_for(lr=1e-9, batch_size=5)
    row = run(state).rows[0]
    logits, targets = state.task.module(FEATURES).detach(), torch.from_numpy(TARGETS)
    assert row.metrics["train:loss"] == pytest.approx(float(F.cross_entropy(logits, targets)), 1e-5)
    hits = sum(int(a.argmax()) == int(b) for a, b in zip(logits, targets, strict=True))
    assert row.metrics["train:accuracy"] == pytest.approx(hits / PICTURES)
    assert row.metrics["validation:accuracy"] == pytest.approx(hits / PICTURES)


def test_the_best_epoch_is_kept_and_ties_go_to_the_smaller_loss():
    answers = {1: scores(0.5, 1.0), 2: scores(0.7, 0.9), 3: scores(0.7, 0.8), 4: scores(0.7, 0.8)}
    weights = {}

    def validate(judged, epoch):
        weights[epoch] = judged.weight.detach().clone()
        return answers[epoch]

    state = run(state_for(validate, epochs=4))
    assert state.best_epoch == 3
    assert torch.equal(state.best_state["weight"], weights[3])
    assert not torch.equal(weights[3], weights[4])


def test_the_objective_may_be_the_loss():
    answers = {1: scores(0.9, 0.5), 2: scores(0.1, 0.4), 3: scores(0.95, 0.6)}
    state = state_for(lambda _, epoch: answers[epoch], epochs=3, objective="validation:loss")
    assert run(state).best_epoch == 2


def stopped_after(accuracies, **changes):
    state = state_for(
        lambda _, epoch: scores(accuracies[epoch - 1]), epochs=len(accuracies), **changes
    )
    return len(run(state).rows)


def test_early_stopping_counts_epochs_without_a_better_objective():
    accuracies = [0.1, 0.2, 0.2, 0.15, 0.9, 0.9, 0.9]
    assert stopped_after(accuracies, early_stopping_patience=2) == 4
    assert stopped_after(accuracies, early_stopping_patience=3) == 7
    assert stopped_after(accuracies, early_stopping_patience=0) == 7
    assert stopped_after(accuracies, early_stopping_patience=2, early_stopping_min_epochs=6) == 7


def test_early_stopping_wants_improvements_of_a_size():
    slow = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15]
    assert stopped_after(slow, early_stopping_patience=2) == 6
    assert stopped_after(slow, early_stopping_patience=2, early_stopping_tolerance=0.05) == 3


def test_the_time_budget_ends_after_a_step_and_the_epoch_is_scored():
    state = run(state_for(epochs=50), Stop(max_seconds=1e-9))
    assert len(state.rows) == 1
    assert state.best_epoch == 1
    assert state.rows[0].metrics["validation:accuracy"] >= 0


def test_a_signal_stops_between_two_steps_and_saves():
    stop, saved = Stop(), []
    state = state_for(epochs=50, batch_size=4)

    def on_images(count):
        stop.signalled = state.epoch == 2 and state.step == 3

    run(state, stop, on_images=on_images, save=lambda fit, must: saved.append(must))
    assert (state.epoch, state.step, len(state.rows)) == (2, 3, 1)
    assert saved == [False, True]


def test_a_loss_that_is_no_number_fails_with_one_line_that_says_what_to_do():
    with pytest.raises(JobError) as caught:
        run(state_for(lr=9.0, optimizer="sgd", epochs=3, module=Exploding()))
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("training diverged: the loss is ")
    assert "lower lr (now 9) or set gradient-clip" in line


class Exploding(nn.Module):
    """Logits that grow beyond float32 after the first step."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs):
        return self.head(inputs) * 1e30


def test_dropout_depends_on_the_step_alone():
    def weights_after(noise):
        torch.manual_seed(1)
        module = nn.Sequential(nn.Dropout(0.5), nn.Linear(WIDTH, CLASSES))
        state = state_for(module=module, epochs=2)
        run(state, on_images=lambda count: torch.rand(noise))
        return module[1].weight

    assert torch.equal(weights_after(1), weights_after(7))


def test_a_finished_run_has_nothing_more_to_do():
    state = run(state_for(epochs=2))
    before = state.task.module.weight.detach().clone()
    run(state)
    assert torch.equal(before, state.task.module.weight)
    assert len(state.rows) == 2


def test_the_time_of_an_epoch_is_counted():
    started = time.perf_counter()
    state = run(state_for(epochs=2))
    assert 0 < sum(row.seconds for row in state.rows) < time.perf_counter() - started
    assert all(row.metrics["train:images_per_second"] > 0 for row in state.rows)

"""The loop: fit, one epoch, one step. The same code trains a head on features and a network.

Every step is a function of (seed, epoch, step) and the state before it, so a run that was
stopped between two steps continues to the same bits.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from contract.errors import JobError
from contract.hyperparameters import Hyperparameters
from train.augment import seed_of
from train.batches import STEP_STREAM, Batch, Order
from train.device import Device
from train.group import Group
from train.loss import summed_loss, weight_of
from train.metrics_file import EpochRow
from train.optim import build_average, build_optimizer, lr_factor, set_lr
from train.patience import is_patience_over, key_of
from train.scoring import Scores
from train.stop import Stop
from train.watch import Phase, RunFacts, StepFacts, Watch

log = logging.getLogger(__name__)


class Batches(Protocol):
    """Training data of one process."""

    order: Order  # of whole steps

    def of_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Our share of each step, from `start_step` on."""
        ...


@dataclass(kw_only=True)
class Task:
    """What is trained, on what, and how it is judged."""

    module: nn.Module  # inputs to logits
    batches: Batches
    validate: Callable[[nn.Module, Stop], Scores | None]  # None: told to stop meanwhile
    set_training: Callable[[], None]
    class_weights: Tensor | None = None  # (K,), on the device
    group: Group = field(default_factory=Group)  # those that train this module together
    begin_step: Callable[[Batch], None] = lambda batch: None
    compiled: nn.Module | None = None  # the module as torch.compile has made it

    @property
    def stepping(self) -> nn.Module:
        """What a training step runs; its parameters are those of `module`."""
        return self.module if self.compiled is None else self.compiled


@dataclass(kw_only=True)
class Progressing:
    """What the loop tells the outside: a bar a step, lines and files an epoch, checkpoints."""

    on_epoch_start: Callable[[int, int], None] = lambda epoch, images: None
    on_images: Callable[[int], None] = lambda count: None
    on_epoch_end: Callable[[EpochRow, bool], None] = lambda row, is_best: None
    save: Callable[["Fit", bool], None] = lambda fit, must: None


@dataclass(kw_only=True)
class Fit:
    """The state of a run between two steps."""

    task: Task
    values: Hyperparameters
    device: Device
    watch: Watch = field(default_factory=Watch)
    optimizer: torch.optim.Optimizer = field(init=False)
    average: torch.optim.swa_utils.AveragedModel | None = field(init=False)
    epoch: int = 1  # the epoch under way, 1-based
    step: int = 0  # batches of it that are done
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # loss, correct, images
    seconds: float = 0.0  # of the epoch under way, before this process
    rows: list[EpochRow] = field(default_factory=list)
    best_epoch: int = 0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    best_scores: Scores | None = None  # on validation; a checkpoint does not hold them

    def __post_init__(self) -> None:
        self.optimizer = build_optimizer(self.task.module, self.values)
        self.average = build_average(self.task.module, self.values.ema_decay)
        self.scaler = torch.amp.GradScaler(
            self.device.torch.type, enabled=self.device.dtype == torch.float16
        )

    @property
    def judged(self) -> nn.Module:
        """What is evaluated and saved: the moving average when there is one."""
        return self.average.module if self.average is not None else self.task.module

    def key_of(self, row: EpochRow) -> tuple[float, float]:
        """Larger is better; the other validation metric breaks ties."""
        return key_of(row, self.values)


def fit(state: Fit, stop: Stop, outside: Progressing) -> None:
    """Train from where `state` stands until the last epoch, early stopping, or `stop`.

    Afterwards `state.best_state` holds the weights of the best epoch. After a signal the state
    stands between two steps and has been saved.

    Several processes take every decision together: whether to stop, and which epoch is best.

    Raises JobError: the loss is not a number.
    """
    group = state.task.group
    state.watch.begin_run(_run_facts(state))
    while state.epoch <= state.values.epochs and not is_patience_over(state.rows, state.values):
        with state.watch.span(Phase.EPOCH, **_epoch_facts(state)):
            _train_one_epoch(state, stop, outside)
            if group.any(stop.signalled) or not _finish_epoch(state, stop, outside):
                _save(state, outside, must=True)
                return
            _save(state, outside, must=False)
        if group.any(stop.out_of_time):
            log.info("time budget of %g s is spent: stopping", state.values.max_train_seconds)
            return


def _epoch_facts(state: Fit) -> dict[str, int]:
    order = state.task.batches.order
    return {
        "epoch": state.epoch,
        "batch_size": order.batch_size,
        "num_images": len(order.targets),
    }


def _save(state: Fit, outside: Progressing, *, must: bool) -> None:
    with state.watch.span(Phase.CHECKPOINT):
        outside.save(state, must)


def _train_one_epoch(state: Fit, stop: Stop, outside: Progressing) -> None:
    batches, group, started = state.task.batches, state.task.group, time.perf_counter()
    steps = batches.order.steps_per_epoch
    outside.on_epoch_start(state.epoch, len(batches.order.targets))
    before = state.sums if group.is_leader else [0.0] * len(state.sums)
    totals = torch.tensor(before, dtype=torch.float64, device=state.device.torch)
    state.task.set_training()
    first = _global_step(state)
    for batch in state.watch.steps(batches.of_epoch(state.epoch, state.step), first):
        totals += train_step(state, batch, is_last=state.step + 1 == steps)
        state.step += 1
        outside.on_images(len(batch.step_targets))
        # At least one optimizer step is taken however short the budget is. Gradients that are
        # still being accumulated would be lost: no checkpoint holds them.
        is_whole = state.step % state.values.gradient_accumulation == 0
        if is_whole and state.step < steps and group.any(stop.now):
            break
    state.sums = group.total(totals).tolist()
    state.seconds += time.perf_counter() - started


def train_step(state: Fit, batch: Batch, *, is_last: bool) -> Tensor:
    """One step of `state`, whose `epoch` and `step` are the caller's to move on.

    Returns our float64 (loss sum, correct, images), on the device.
    """
    values, device, watch = state.values, state.device, state.watch
    global_step = _global_step(state)
    is_update = is_last or (state.step + 1) % values.gradient_accumulation == 0
    # Dropout and mixup draw from here: a function of the step, so nothing has to be saved.
    torch.manual_seed(seed_of(values.seed, STEP_STREAM, global_step))
    state.task.begin_step(batch)
    with watch.span(Phase.COPY):
        inputs = batch.inputs.to(device.torch, non_blocking=True)
        targets = batch.targets.to(device.torch, non_blocking=True)
    if watch.records(global_step):
        watch.begin_step(_step_facts(state, batch, is_update))
    if state.step % values.gradient_accumulation == 0:
        state.optimizer.zero_grad(set_to_none=True)
    with watch.span(Phase.FORWARD), device.autocast():
        loss, logits = summed_loss(
            state.task.stepping, values, inputs, targets,
            step=global_step, class_weights=state.task.class_weights,
        )  # fmt: skip
        loss = loss / weight_of(batch.step_targets, state.task.class_weights)
    with watch.span(Phase.BACKWARD):
        state.scaler.scale(loss / _accumulated(state)).backward()
    watch.end_backward(loss, logits, targets)
    if is_update:
        with watch.span(Phase.OPTIMIZER):
            _update(state, global_step)
    correct = (logits.detach().argmax(dim=1) == targets).sum()
    size = torch.tensor(len(targets), device=device.torch)
    loss_sum = loss.detach().double() * len(batch.step_targets)
    return torch.stack([loss_sum, correct.double(), size.double()])


def _global_step(state: Fit) -> int:
    """The batch under way, of the whole run."""
    return (state.epoch - 1) * state.task.batches.order.steps_per_epoch + state.step


def _run_facts(state: Fit) -> RunFacts:
    return RunFacts(
        module=state.task.stepping, step=_global_step(state), epoch=state.epoch,
        steps_per_epoch=state.task.batches.order.steps_per_epoch, values=state.values,
    )  # fmt: skip


def _step_facts(state: Fit, batch: Batch, is_update: bool) -> StepFacts:
    def our_share() -> float:
        weights = state.task.class_weights
        return float(weight_of(batch.targets, weights) / weight_of(batch.step_targets, weights))

    return StepFacts(
        module=state.task.stepping, step=_global_step(state), epoch=state.epoch,
        is_update=is_update, loss_scale=state.scaler.get_scale, our_share=our_share,
    )  # fmt: skip


def _accumulated(state: Fit) -> int:
    """How many batches share the optimizer step under way; fewer at an epoch's end."""
    per_step = state.values.gradient_accumulation
    first = state.step - state.step % per_step
    return min(per_step, state.task.batches.order.steps_per_epoch - first)


def _update(state: Fit, global_step: int) -> None:
    """One optimizer step: schedule, clipping, update, moving average."""
    values = state.values
    state.task.group.sum_gradients(state.task.module)
    steps = state.task.batches.order.steps_per_epoch
    set_lr(state.optimizer, values.lr * lr_factor(values, global_step, steps))
    if values.gradient_clip:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.task.module.parameters(), values.gradient_clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.average is not None:
        state.average.update_parameters(state.task.module)


def _finish_epoch(state: Fit, stop: Stop, outside: Progressing) -> bool:
    """Validate, keep the best weights, and move on to the next epoch.

    False, and all stays as it is, when we were told to stop while validating.
    """
    loss_sum, correct, images = state.sums
    train_loss = loss_sum / images
    if not math.isfinite(train_loss):
        raise JobError(
            f"training diverged: the loss is {train_loss} in epoch {state.epoch}; "
            f"lower lr (now {state.values.lr:g}) or set gradient-clip to 1"
        )
    with state.watch.evaluation(state.judged, state.epoch):
        scores = state.task.validate(state.judged, stop)
    if scores is None:
        return False
    state.watch.evaluated(scores, state.epoch)
    row = EpochRow(
        epoch=state.epoch,
        seconds=state.seconds,
        learning_rate=state.optimizer.param_groups[0]["lr"],
        metrics={
            "train:loss": train_loss,
            "train:accuracy": correct / images,
            "validation:loss": scores.loss,
            "validation:accuracy": scores.accuracy,
            "train:images_per_second": images / max(state.seconds, 1e-9),
        },
    )
    state.watch.metrics(row.metrics, row.epoch)
    is_best = state.best_epoch == 0 or state.key_of(row) > state.key_of(
        state.rows[state.best_epoch - 1]
    )
    state.rows.append(row)
    if is_best:
        state.best_epoch, state.best_scores = state.epoch, scores
        state.best_state = {
            name: value.detach().clone() for name, value in state.judged.state_dict().items()
        }
    state.epoch, state.step, state.seconds = state.epoch + 1, 0, 0.0
    state.sums = [0.0, 0.0, 0.0]
    outside.on_epoch_end(row, is_best)
    return True

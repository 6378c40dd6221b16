"""The learning rate finder: a short run in which the rate grows until the loss explodes.

Nothing of the run is kept but its advice: lr_finder.json and lr_finder.png.
"""

import itertools
import logging
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from contract.files import write_bytes, write_json
from contract.job import TrainingJob
from contract.theme import LIGHT
from train.learner import Learner
from train.learning import Ready, build_learner, get_ready
from train.loop import Fit, train_step
from train.lr_curve import HIGHEST, LOWEST, LrCurve, has_exploded
from train.lr_figure import draw_lr_finder
from train.membership import joined
from train.narrator import tell_data, tell_start, tell_world
from train.process import limits_of, prepare
from train.progress import Progress
from train.stop import Stop
from train.world import world_of

log = logging.getLogger(__name__)

ADVICE_NAME = "lr_finder.json"
PICTURE_NAME = "lr_finder.png"

_STEPS = 100
_FEWEST_STEPS = 40  # of a network that learns through its trunk, where an epoch is long ...
_EPOCHS = 3  # ... and this many of them are enough


def run_lr_finder(job: TrainingJob, work_dir: Path) -> None:
    """Find a learning rate for a job; leaves advice in the data folder and no model.

    Weights, pictures, batches and the optimizer are the job's own, so the advice is for exactly
    that job. The same seed gives the same advice.

    Where a job has several processes, each runs this, and steps are those of the job.

    Raises as `run_process` does, and JobError when the loss is not a number from the start.
    """
    world, stop = world_of(job.cluster), Stop()
    tell_world(world)
    with joined(world, stop, limits_of(job), partial(prepare, job, world)) as (group, device):
        ready = get_ready(job, work_dir, device, group)
        if group.is_leader:
            tell_data(job, ready.data)
            tell_start(ready.start)
        # Its bars would be gone before anybody looks.
        learner = build_learner(ready.start, ready.data, device, Progress(enabled=False), group)
        if group.is_leader or learner.trains_together:
            curve = sweep(learner, ready)
        group.await_leader()
    if world.rank == 0:
        write_advice(job, curve, images_per_step(learner))


def sweep(learner: Learner, ready: Ready) -> LrCurve:
    """Rates and the losses of their steps, up to the explosion or the highest rate.

    Every optimizer step has a rate of its own; batches whose gradients are accumulated share it.
    Raises JobError: the loss is not a number from the start.
    """
    values = replace(learner.values, schedule="constant", warmup_epochs=0.0)
    state = Fit(task=learner.task, values=values, device=ready.device)
    batches, group = learner.task.batches, learner.task.group
    per_epoch = batches.order.steps_per_epoch
    rates = np.geomspace(LOWEST, HIGHEST, num_steps(learner, per_epoch))
    losses, num_classes = list[float](), len(ready.data.labels)
    state.task.set_training()
    sums = torch.zeros(3, dtype=torch.float64, device=ready.device.torch)
    for epoch in itertools.count(1):
        for step, batch in enumerate(batches.of_epoch(epoch)):
            state.epoch, state.step = epoch, step
            state.values = replace(values, lr=float(rates[len(losses)]))
            is_last = step + 1 == per_epoch
            sums += train_step(state, batch, is_last=is_last)
            if not is_last and (step + 1) % values.gradient_accumulation:
                continue
            loss_sum, _, images = group.total(sums).tolist()
            losses.append(loss_sum / images)
            sums.zero_()
            is_over = len(losses) == len(rates) or has_exploded(losses, len(rates), num_classes)
            if is_over:
                epochs = epoch - 1 + (step + 1) / per_epoch
                return LrCurve.of(rates[: len(losses)], np.array(losses), num_classes, epochs)
    raise AssertionError("epochs do not end")


def num_steps(learner: Learner, per_epoch: int) -> int:
    """How many rates are tried."""
    if learner.values.unfreeze == "none":
        return _STEPS
    accumulated = math.ceil(per_epoch / learner.values.gradient_accumulation)
    return min(_STEPS, max(_FEWEST_STEPS, _EPOCHS * accumulated))


def images_per_step(learner: Learner) -> int:
    """Of an optimizer step, over all processes; the rate is for steps of this size."""
    order = learner.task.batches.order
    return min(order.batch_size * learner.values.gradient_accumulation, len(order.targets))


def write_advice(job: TrainingJob, curve: LrCurve, images: int) -> None:
    """Leave the file and the picture, and say what they hold. Raises HostError: a full disk.

    `images`: of a step.
    """
    advice, folder = curve.advise(), job.outputs.data_dir
    ends = (advice.suggested, advice.low, advice.high) if advice else None
    picture = draw_lr_finder(curve.rates, curve.losses, curve.smoothed, ends, LIGHT)
    write_bytes(folder / PICTURE_NAME, picture)
    points = np.stack([curve.rates, curve.losses], axis=1)
    write_json(
        folder / ADVICE_NAME,
        {
            "suggested": advice.suggested if advice else None,
            "range": [advice.low, advice.high] if advice else None,
            "images_per_step": images,
            "picture": PICTURE_NAME,
            "points": points.tolist(),
        },
    )
    if advice is None:
        log.warning(
            "warning: no learning rate is suggested: in %d steps of %d pictures, up to %g, the "
            "loss fell by no more than its noise; see %s",
            len(points), images, curve.rates[-1], folder / PICTURE_NAME,
        )  # fmt: skip
        return
    log.info(
        "lr     %g is suggested for steps of %d pictures, %g to %g is worth searching; %d steps, "
        "see %s",
        advice.suggested, images, advice.low, advice.high, len(points), folder / PICTURE_NAME,
    )  # fmt: skip
    if curve.has_few_pictures:
        log.info(
            "note   few pictures: the steps saw each of them %.0f times, and the loss fell by what "
            "earlier ones had learnt; the range reaches to where it rises, and says less",
            curve.epochs,
        )
    log.info("next   train with lr=%g: kennel run JOB.toml --set lr=%g", *[advice.suggested] * 2)

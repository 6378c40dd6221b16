"""The learning rate finder: a short run in which the rate grows until the loss explodes.

Nothing of the run is kept but its advice: lr_finder.json and lr_finder.png.
"""

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from contract.errors import JobError
from contract.files import write_bytes, write_json
from contract.job import TrainingJob
from train.learner import Learner
from train.learning import Ready, build_learner, get_ready
from train.loop import Fit, train_step
from train.lr_figure import draw_lr_finder
from train.membership import joined
from train.narrator import tell_data, tell_start, tell_world
from train.process import limits_of, prepare
from train.progress import Progress
from train.stop import Stop
from train.theme import LIGHT
from train.world import world_of

log = logging.getLogger(__name__)

ADVICE_NAME = "lr_finder.json"
PICTURE_NAME = "lr_finder.png"

LOWEST, HIGHEST = 1e-6, 9.0  # the rates that are tried
_STEPS = 100
_FEWEST_STEPS = 40  # of a network that learns through its trunk, where an epoch is long ...
_EPOCHS = 3  # ... and this many of them are enough
_LAG = 0.05  # of all steps: how far the smoothed loss looks back
_EXPLODED = 4.0  # times the lowest smoothed loss
_BELOW = 10.0  # times: how far the range reaches below the suggestion ...
_ABOVE = (2.0, 10.0)  # ... and above it, at least and at most
_DIGITS = 2  # of a rate; more would pretend


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What the run came to."""

    suggested: float
    low: float
    high: float
    rates: NDArray[np.float64]  # (steps,) that were tried, growing
    losses: NDArray[np.float64]  # (steps,) of each step's batch, finite
    smoothed: NDArray[np.float64]  # of the first rates; the last have no average yet


def run_lr_finder(job: TrainingJob, work_dir: Path) -> None:
    """Find a learning rate for a job; leaves advice in the data folder and no model.

    Weights, pictures, batches and the optimizer are the job's own, so the advice is for exactly
    that job. The same seed gives the same advice.

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
            advice = advise(*sweep(learner, ready))
        group.await_leader()
    if world.rank == 0:
        write_advice(job, advice)


def sweep(learner: Learner, ready: Ready) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rates and the losses of their steps, up to the explosion or the highest rate.

    Every optimizer step has a rate of its own; batches whose gradients are accumulated share it.
    """
    values = replace(learner.values, schedule="constant", warmup_epochs=0.0)
    state = Fit(task=learner.task, values=values, device=ready.device)
    batches, group = learner.task.batches, learner.task.group
    per_epoch = batches.order.steps_per_epoch
    rates = np.geomspace(LOWEST, HIGHEST, num_steps(learner, per_epoch))
    losses: list[float] = []
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
            if len(losses) == len(rates) or has_exploded(losses, len(rates)):
                return rates[: len(losses)], np.array(losses)
    raise AssertionError("epochs do not end")


def num_steps(learner: Learner, per_epoch: int) -> int:
    """How many rates are tried."""
    if learner.values.unfreeze == "none":
        return _STEPS
    accumulated = math.ceil(per_epoch / learner.values.gradient_accumulation)
    return min(_STEPS, max(_FEWEST_STEPS, _EPOCHS * accumulated))


def has_exploded(losses: Sequence[float], planned: int) -> bool:
    """True when the loss is not a number or far above the lowest so far, both smoothed."""
    if not math.isfinite(losses[-1]):
        return True
    smoothed = smooth(losses, planned)
    return bool(smoothed[-1] > _EXPLODED * smoothed.min())


def smooth(losses: Sequence[float], planned: int) -> NDArray[np.float64]:
    """The exponential moving average, corrected for its start at zero (Kingma and Ba, 2015)."""
    decay = _LAG * planned / (1 + _LAG * planned)
    average, averages = 0.0, []
    for number, loss in enumerate(losses, start=1):
        average = decay * average + (1 - decay) * loss
        averages.append(average / (1 - decay**number))
    return np.array(averages)


def advise(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> Advice:
    """The rate at which the smoothed loss falls fastest, and a range around it.

    The loss is looked at over the logarithm of the rate, up to its lowest point. The average looks
    back, so each of its values is moved to the rate from which it comes. The range ends where the
    loss was lowest: beyond, a step does more harm than good.

    Raises JobError: the loss is not a number from the start.

    Source: Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3 (the
    range test); the steepest point is what fastai suggests (Howard and Gugger, 2020).
    """
    known = np.isfinite(losses)
    rates, losses = rates[known], losses[known]
    if len(losses) < 3:
        raise JobError("the loss is not a number from the first steps on: check pictures and arch")
    planned = round(math.log(HIGHEST / LOWEST) / math.log(rates[1] / rates[0])) + 1
    lag = min(round(_LAG * planned), len(losses) - 2)
    smoothed = smooth(losses, planned)[lag:]
    lowest = int(smoothed.argmin())
    slopes = np.gradient(smoothed, np.log(rates[: len(smoothed)]))[: lowest + 1]
    suggested = float(rates[slopes.argmin()])
    if slopes.min() >= 0:
        log.warning("warning: the loss never fell; look at %s before you trust it", PICTURE_NAME)
    high = min(max(float(rates[lowest]), suggested * _ABOVE[0]), suggested * _ABOVE[1], HIGHEST)
    return Advice(
        suggested=_rounded(suggested),
        low=_rounded(suggested / _BELOW),
        high=_rounded(high),
        rates=rates,
        losses=losses,
        smoothed=smoothed,
    )


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS - 1}e}")


def write_advice(job: TrainingJob, advice: Advice) -> None:
    """Leave the file and the picture, and say what they hold. Raises HostError: a full disk."""
    folder = job.outputs.data_dir
    ends = (advice.suggested, advice.low, advice.high)
    picture = draw_lr_finder(advice.rates, advice.losses, advice.smoothed, ends, LIGHT)
    write_bytes(folder / PICTURE_NAME, picture)
    points = np.stack([advice.rates, advice.losses], axis=1)
    write_json(
        folder / ADVICE_NAME,
        {
            "suggested": advice.suggested,
            "range": [advice.low, advice.high],
            "picture": PICTURE_NAME,
            "points": points.tolist(),
        },
    )
    log.info(
        "lr     %g is suggested, %g to %g is worth searching; %d steps, see %s",
        advice.suggested, advice.low, advice.high, len(points), folder / PICTURE_NAME,
    )  # fmt: skip
    log.info("next   train with lr=%g: kennel run JOB.toml --set lr=%g", *ends[:1] * 2)

"""What `benchmarks.debugger` trains: a head on features, and a small network on pictures."""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.pictures import write_channel
from contract.hook_config import HookConfig
from contract.hyperparameters import Hyperparameters, parse_hyperparameters
from contract.job import Channel, Outputs, TrainingJob
from train.batches import FeatureBatches, Order
from train.channels import read_data
from train.device import Device, choose_device
from train.loop import Fit, Progressing, Task, fit
from train.network_learner import NetworkLearner
from train.progress import Progress
from train.scoring import Scores
from train.start import start_network
from train.stop import Stop
from train.watch import Watch
from train.watching import build_watch
from train.world import World

LABELS = tuple(f"label-{index:02d}" for index in range(12))
FEATURES, WIDTH, NUM_LABELS = 2000, 512, 105


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Something to train, again and again from the same weights."""

    name: str
    job: TrainingJob
    task: Task
    values: Hyperparameters
    device: Device
    initial: dict[str, torch.Tensor]
    clock: Callable[[], float] = time.perf_counter

    def run(self, epochs: int, watch: Watch) -> tuple[float, int]:
        """Seconds and steps of a run."""
        self.task.module.load_state_dict(self.initial)
        values = replace(self.values, epochs=epochs)
        state = Fit(task=self.task, values=values, device=self.device, watch=watch)
        started = self.clock()
        fit(state, Stop(), Progressing())
        watch.close()
        seconds = self.clock() - started
        return seconds, epochs * self.task.batches.order.steps_per_epoch

    def watch(self, hook: HookConfig | None, folder: Path) -> Watch:
        """None: nobody."""
        outputs = replace(self.job.outputs, tensors_dir=folder)
        return build_watch(replace(self.job, hook=hook, outputs=outputs), World())


def head(folder: Path) -> Work:
    """A linear layer on random features, as a HeadLearner trains it."""
    generator = np.random.default_rng(0)
    features = torch.from_numpy(generator.normal(size=(1, FEATURES, WIDTH)).astype(np.float32))
    targets = generator.integers(0, NUM_LABELS, FEATURES)
    module = nn.Linear(WIDTH, NUM_LABELS)
    job, device = _job(folder, {"unfreeze": "none"}), choose_device("fp32")
    values = job.hyperparameters.values
    few, labels = features[0, :500], torch.from_numpy(targets[:500])

    def validate(judged: nn.Module, _stop: Stop) -> Scores:
        with torch.inference_mode():
            return Scores.of(judged(few), labels)

    return _work("head", job, device, _task(module, features, Order.of(values, targets), validate))


def _task(
    module: nn.Module,
    features: torch.Tensor,
    order: Order,
    validate: Callable[[nn.Module, Stop], Scores],
) -> Task:
    batches = FeatureBatches(features, order)
    return Task(module=module, batches=batches, validate=validate, set_training=module.train)


def fine_tuning(folder: Path) -> Work:
    """A small SqueezeNet, all layers of it."""
    for channel, most in (("train", 12), ("validation", 2)):
        for seed in range(most):
            write_channel(folder / channel, LABELS, len(LABELS), seed=100 * most + seed)
    changes = {"unfreeze": "all", "image-size": "64", "batch-size": "16", "num-workers": "0"}
    job, device = _job(folder, changes), choose_device("fp32")
    data = read_data(job, folder / "work")
    start = start_network(job, data.labels, folder / "work")
    learner = NetworkLearner(start, data, device, Progress(enabled=False))
    return _work("finetune", job, device, learner.task)


def _work(name: str, job: TrainingJob, device: Device, task: Task) -> Work:
    return Work(
        name=name, job=job, task=task, device=device, values=job.hyperparameters.values,
        initial=deepcopy(task.module.state_dict()),
    )  # fmt: skip


def _job(folder: Path, changes: dict[str, str]) -> TrainingJob:
    given = {"arch": "squeezenet1_1", "pretrained": "false", "early-stopping-patience": "0"}
    channels = ("train", "validation")
    return TrainingJob(
        name="bench",
        hyperparameters=parse_hyperparameters({**given, **changes}),
        channels={name: Channel(name=name, path=folder / name) for name in channels},
        outputs=Outputs(
            model_dir=folder / "model",
            data_dir=folder / "output",
            failure_file=folder / "failure",
            checkpoint_dir=None,
        ),
    )

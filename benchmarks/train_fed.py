"""Fed: epochs of fine-tuning beside the same steps on pictures that are in memory, in turns.

`python -m benchmarks.train_fed FOLDER -- FLAGS`: the flags of `python -m train` say which pictures
and network. Prints one JSON object: pictures a second of each epoch, and of as many steps on one
batch of noise right after it, in the same process and by the same code.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from train.batches import Batch
from train.device import choose_device
from train.group import Group
from train.learning import build_learner, get_ready
from train.loop import Fit, Progressing, fit, train_step
from train.metrics_file import EpochRow
from train.options import job_from_flags
from train.progress import Progress
from train.stop import Stop


class Fed:
    """What is measured at the end of each epoch."""

    def __init__(self, state: Fit, crop_px: int) -> None:
        self._state, self._steps = state, state.task.batches.order.steps_per_epoch
        self.epochs: list[float] = []
        self.alone: list[float] = []
        self._noise = _noise(state, crop_px)

    def measure(self, row: EpochRow, _is_best: bool) -> None:
        """Pictures a second; the epoch's are the loop's own figure."""
        self.epochs.append(row.metrics["train:images_per_second"])
        self._state.task.set_training()  # validation was before this
        started = time.perf_counter()
        totals = [train_step(self._state, self._noise, is_last=False) for _ in range(self._steps)]
        torch.stack(totals).sum().item()  # waits for the GPU
        pictures = self._steps * len(self._noise.targets)
        self.alone.append(pictures / (time.perf_counter() - started))


def _noise(state: Fit, crop_px: int) -> Batch:
    size = state.values.batch_size
    inputs = torch.randint(0, 256, (size, crop_px, crop_px, 3), dtype=torch.uint8)
    targets = torch.from_numpy(state.task.batches.order.targets[:size])
    if state.device.is_cuda:
        inputs, targets = inputs.pin_memory(), targets.pin_memory()
    return Batch(inputs, targets, torch.arange(size), targets)


def main(words: Sequence[str]) -> None:
    split = words.index("--")
    job = job_from_flags(words[split + 1 :])
    device = choose_device(job.hyperparameters.values.precision)
    ready = get_ready(job, Path(words[0]), device, Group())
    learner = build_learner(ready.start, ready.data, device, Progress(enabled=False))
    state = Fit(task=learner.task, values=learner.values, device=device)
    fed = Fed(state, ready.start.preprocess.crop_px)
    fit(state, Stop(), Progressing(on_epoch_end=fed.measure))
    print(json.dumps({"why": device.why, "epochs": fed.epochs, "alone": fed.alone}))


if __name__ == "__main__":
    main(sys.argv[1:])

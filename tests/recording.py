"""For the tests of saved tensors: a small network that learns while a recorder looks on."""

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from training import CPU

from contract.errors import InterruptedJobError
from contract.hook_config import Collection, HookConfig
from contract.hyperparameters import Hyperparameters
from train.batches import FeatureBatches, Order
from train.device import Device
from train.loop import Fit, Progressing, Task, fit
from train.recorded_run import Saving
from train.scoring import Scores
from train.stop import Stop
from train.tensor_folder import TensorFolder
from train.tensor_recorder import TensorRecorder
from train.watch import Watch

PLAIN = replace(
    Hyperparameters(),
    epochs=2, batch_size=8, lr=0.1, optimizer="sgd", momentum=0.0, weight_decay=0.0,
    schedule="constant", warmup_epochs=0.0, label_smoothing=0.0, early_stopping_patience=0,
    unfreeze="all",
)  # fmt: skip
WIDTH, CLASSES, PICTURES = 4, 3, 32
STEPS = PICTURES // PLAIN.batch_size  # of an epoch
_GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(PICTURES, WIDTH, generator=_GENERATOR)
LABELS = torch.randint(0, CLASSES, (PICTURES,), generator=_GENERATOR)
LOSS = "CrossEntropyLoss_output_0"


class Small(nn.Module):
    """One ReLU by name that is used twice and writes over its input, one by number."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 6), nn.Linear(6, 6)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, CLASSES))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits."""
        return self.last(self.relu(self.second(self.relu(self.first(inputs)))))


def small() -> Small:
    """The same weights each time."""
    torch.manual_seed(1)
    return Small()


def hook_for(*collections: Collection | str, **parameters: str) -> HookConfig:
    """`__` in a parameter's name stands for a dot."""
    return HookConfig(
        collections=tuple(
            one if isinstance(one, Collection) else Collection(name=one) for one in collections
        ),
        parameters={name.replace("__", "."): text for name, text in parameters.items()},
    )


def collection(name: str, **parameters: str) -> Collection:
    """With parameters of its own."""
    return Collection(
        name=name, parameters={key.replace("__", "."): text for key, text in parameters.items()}
    )


def recorder_for(
    folder: Path, hook: HookConfig, *, rank: int = 0, num_workers: int = 1
) -> TensorRecorder:
    """As build_watch makes it; the job began long ago, so `auto` has all the time that it wants."""
    place = TensorFolder(folder, rank=rank, num_workers=num_workers, is_first=rank == 0)
    started = time.perf_counter() - 1e6
    return TensorRecorder(
        Saving(config=hook, folder=place, num_workers=num_workers, started=started, writes_end=True)
    )


def score(module: nn.Module, _stop: Stop | None = None) -> Scores:
    """Exact over all pictures, in two batches."""
    with torch.inference_mode():
        logits = torch.cat([module(part) for part in INPUTS.split(20)])
    return Scores.of(logits, LABELS)


def state_for(
    watch: Watch | None = None,
    module: nn.Module | None = None,
    *,
    device: Device = CPU,
    validate: Callable[[nn.Module, Stop], Scores | None] = score,
    **changes: Any,
) -> Fit:
    """A run of two epochs of four steps; `changes` are hyperparameters."""
    values, module = replace(PLAIN, **changes), small() if module is None else module
    order = Order(targets=LABELS.numpy(), batch_size=values.batch_size, seed=values.seed)
    task = Task(
        module=module,
        batches=FeatureBatches(INPUTS[None], order),
        validate=validate,
        set_training=module.train,
    )
    return Fit(task=task, values=values, device=device, watch=watch or Watch())


def record(folder: Path, hook: HookConfig, module: nn.Module | None = None, **changes: Any) -> Fit:
    """A whole run with everything that `hook` asks for in `folder`."""
    recorder = recorder_for(folder, hook)
    state = state_for(Watch(recorder), module, **changes)
    try:
        with suppress(InterruptedJobError):
            fit(state, Stop(), Progressing())
    finally:
        recorder.close()
    return state


@contextmanager
def at_once() -> Iterator[None]:
    """smdebug's readers do not wait for what comes after the end."""
    name = "SMDEBUG_TRAINING_END_DELAY_REFRESH"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class Saved:
    """What smdebug's own reader finds in a folder."""

    def __init__(self, folder: Path) -> None:
        with at_once(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from smdebug import modes
            from smdebug.trials import create_trial

            sys.meta_path[:] = [one for one in sys.meta_path if hasattr(one, "find_spec")]
            self._modes = {"train": modes.TRAIN, "eval": modes.EVAL}
            self.trial = create_trial(str(folder))

    def steps(self, mode: str) -> list[int]:
        """The mode's own."""
        return list(self.trial.steps(mode=self._modes[mode]))

    def names(self, mode: str, step: int) -> set[str]:
        """Of all tensors and scalars of a step."""
        return set(self.trial.tensor_names(step=step, mode=self._modes[mode]))

    def of(self, name: str) -> set[str]:
        """What is in a collection."""
        return set(self.trial.tensor_names(collection=name))

    def __call__(self, name: str, step: int, mode: str = "train", worker: str | None = None) -> Any:
        """A value; a scalar as a number."""
        value = self.trial.tensor(name).value(step, mode=self._modes[mode], worker=worker)
        return float(value[0]) if name.startswith("scalar/") else value

    def statistic(self, kind: str, name: str, step: int, mode: str = "train") -> float:
        """A reduction, `mean` or `abs_mean`."""
        plain = kind.removeprefix("abs_")
        tensor = self.trial.tensor(name)
        return float(tensor.reduction_value(step, plain, mode=self._modes[mode], abs=plain != kind))

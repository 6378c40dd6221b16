"""Saved tensors for tests: real training of tiny networks under smdebug's hook, and made-up steps.

Everything is written by smdebug itself, so that our reader is tested against another's writer.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from debugger.rules.rule import TensorRule
from debugger.rules.table import RULE_CLASSES
from debugger.saved import SavedTensors
from debugger.tensors import open_trial

SIDE, CLASSES = 8, 3
GRADIENTS = {"losses": ["^loss"], "gradients": ["^gradient"]}  # collections of made-up steps


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """smdebug warns about its own code and greets on stdout."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


with quiet():
    from smdebug.core.collection_manager import CollectionManager
    from smdebug.core.modes import ModeKeys
    from smdebug.core.writer import FileWriter
    from smdebug.pytorch import Hook, ReductionConfig, SaveConfig, del_hook

# Its profiler brings finders of Python 2's days, about which every later import would warn.
sys.meta_path[:] = [one for one in sys.meta_path if hasattr(one, "find_spec")]


class Small(nn.Module):
    """Pictures (N, 3, 8, 8) to three classes, with layers of all kinds that rules look at."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.squeeze = nn.Linear(8 * SIDE * SIDE // 4, 16)
        self.tanh = nn.Tanh()
        self.hidden = nn.Linear(16, 16)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits."""
        maps = nn.functional.max_pool2d(self.relu(self.conv(pictures)), 2)
        values = self.tanh(self.squeeze(maps.flatten(1)))
        return self.fc(self.relu(self.hidden(values)))


class Sigmoids(nn.Module):
    """Deep and without normalisation: what backpropagation was afraid of."""

    def __init__(self, depth: int = 10) -> None:
        super().__init__()
        self.first = nn.Linear(3 * SIDE * SIDE, 16)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(depth))
        self.sigmoid = nn.Sigmoid()
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits."""
        values = self.sigmoid(self.first(pictures.flatten(1)))
        for layer in self.layers:
            values = self.sigmoid(layer(values))
        return self.fc(values)


@dataclass(frozen=True, kw_only=True)
class Data:
    """Pictures (N, 3, 8, 8), and labels."""

    pictures: Tensor
    labels: Tensor


def draw(count: int, seed: int, noise: float = 0.5) -> Data:
    """A bright third of the picture is the class; normalised."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    pictures = noise * torch.randn(count, 3, SIDE, SIDE, generator=random)
    for index, label in enumerate(labels):
        pictures[index, label] += 1.0
        pictures[index] -= pictures[index].mean()
    return Data(pictures=pictures, labels=labels)


@dataclass(kw_only=True)
class Training:
    """One run. Fields say how it is ill; without any it learns."""

    train: Data = field(default_factory=lambda: draw(48, 1))
    validation: Data = field(default_factory=lambda: draw(24, 2))
    build: Callable[[], nn.Module] = Small
    network: nn.Module | None = None  # that is trained; one that is given goes on learning
    lr: float = 0.02
    epochs: int = 6
    batch: int = 12
    seed: int = 0
    frozen: tuple[str, ...] = ()  # beginnings of parameters' names
    collections: tuple[str, ...] = ("losses", "weights", "biases", "gradients")
    save: str = ""  # regex of what is saved besides, at every step as well
    reductions: tuple[str, ...] = ()  # instead of values
    is_closed: bool = True

    def run(self, folder: Path) -> "Training":
        """Train, and save below `folder`."""
        torch.manual_seed(self.seed)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self.network = self.network or self.build()
        try:
            with quiet():
                self._train(folder)
        finally:
            torch.set_num_threads(threads)
        return self

    def _train(self, folder: Path) -> None:
        network = self.network
        assert network is not None
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(not name.startswith(self.frozen or "-"))
        hook, loss_function = self._hook(folder), nn.CrossEntropyLoss()
        hook.register_module(network)
        hook.register_loss(loss_function)
        learned = [one for one in network.parameters() if one.requires_grad]
        optimizer = torch.optim.SGD(learned, lr=self.lr, momentum=0.9)
        for _ in range(self.epochs):
            hook.set_mode(ModeKeys.TRAIN)
            for pictures, labels in self._batches(self.train):
                optimizer.zero_grad()
                loss_function(network(pictures), labels).backward()
                optimizer.step()
            hook.set_mode(ModeKeys.EVAL)
            with torch.no_grad():
                for pictures, labels in self._batches(self.validation):
                    loss_function(network(pictures), labels)
        if self.is_closed:
            hook.close()
        del_hook()

    def _batches(self, data: Data) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(data.pictures.split(self.batch), data.labels.split(self.batch), strict=True)

    def _hook(self, folder: Path) -> Hook:
        reduced = ReductionConfig(abs_reductions=[*self.reductions]) if self.reductions else None
        return Hook(
            out_dir=str(folder),
            include_regex=[self.save] if self.save else None,
            include_collections=list(self.collections),
            save_config=SaveConfig(save_interval=1),
            reduction_config=reduced,
        )


Step = tuple[str, int, Mapping[str, object]]  # mode, step of the mode, tensors by name


def write_steps(
    folder: Path,
    steps: Sequence[Step] | Mapping[int, Step],
    *,
    collections: Mapping[str, Sequence[str]] = {"losses": ["loss"]},
    workers: Sequence[str] = ("worker_0",),
    has_ended: bool = True,
) -> Path:
    """Made-up steps; a list counts global steps from 0. Collections are lists of regexes."""
    numbered = steps.items() if isinstance(steps, Mapping) else enumerate(steps)
    with quiet():
        for worker in workers:
            _write_collections(folder, collections, worker, len(workers))
        for step, (mode, mode_step, tensors) in numbered:
            for worker in workers:
                write_step(folder, step, (mode, mode_step, tensors), worker)
    if has_ended:
        (folder / "training_job_end.ts").touch()
    return folder


def write_step(folder: Path, step: int, what: Step, worker: str = "worker_0") -> None:
    """One global step of one worker."""
    mode, mode_step, tensors = what
    with quiet():
        writer = FileWriter(trial_dir=str(folder), step=step, worker=worker)
        for name, values in tensors.items():
            writer.write_tensor(
                tdata=np.asarray(values), tname=name, mode=ModeKeys[mode], mode_step=mode_step
            )
        writer.close()


def _write_collections(
    folder: Path, collections: Mapping[str, Sequence[str]], worker: str, num_workers: int
) -> None:
    manager = CollectionManager(create_default=True)
    for name, regexes in collections.items():
        manager.get(name).include(list(regexes))
    manager.set_num_workers(num_workers)
    manager.export(str(folder), f"{worker}_collections.json")


def global_steps(values: Mapping[int, object], name: str) -> dict[int, Step]:
    """One tensor at global steps, in no mode."""
    return {step: ("GLOBAL", step, {name: value}) for step, value in values.items()}


def saved_in(folder: Path) -> SavedTensors:
    """All of it."""
    saved = SavedTensors(open_trial(str(folder)))
    saved.end()
    return saved


def rule_over(
    name: str,
    folder: Path,
    steps: Sequence[Step] | Mapping[int, Step],
    collections: Mapping[str, Sequence[str]] | None = None,
    /,
    **given: object,
) -> TensorRule:
    """A rule over steps that smdebug's own writer wrote."""
    write_steps(folder, steps, collections=collections or {"losses": ["^loss"]})
    return RULE_CLASSES[name](saved_in(folder), **given)


def hits(rule: TensorRule, steps: range | None = None) -> list[int]:
    """The global steps at which a rule fires, asked about each saved step in order."""
    return [
        step
        for step in rule.saved.steps
        if (steps is None or step in steps) and rule.invoke_at_step(step)
    ]


def clean_environment() -> dict[str, str]:
    """Of a child process: ours, without what would change smdebug."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SMDEBUG")}
    return {**kept, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "OMP_NUM_THREADS": "1"}

"""Batches: training pictures in a seeded order, as a function of epoch and step alone.

Because nothing depends on what was drawn before, a run can continue in the middle of an epoch,
and the number of worker processes does not change a single bit.
"""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from contract.hyperparameters import Hyperparameters
from train.augment import Augment, seed_of
from train.pictures import PictureStore
from train.shares import Shares


class Batch(NamedTuple):
    """This process's share of one step; the whole step when it trains alone."""

    inputs: Tensor
    targets: Tensor  # int64 (B,)
    places: Tensor  # int64 (B,): where they stand in the whole step
    step_targets: Tensor  # int64 (S,): of the whole step, all processes together


class Made(NamedTuple):
    """Which worker process made a batch, and when; clock: time.perf_counter_ns."""

    pid: int
    start_ns: int
    end_ns: int
    cpu_ns: int  # time that the process itself had on a core


class Fetched(NamedTuple):
    """A batch, and how it was made."""

    batch: Batch
    made: Made


class Loading(Protocol):
    """Hears of the work of loaders."""

    def starting(self, **facts: Any) -> AbstractContextManager[None]:
        """Meanwhile a loader and its worker processes start."""
        ...

    def fetched(self, made: Made) -> None:
        """The batch that comes next was made by a worker process."""
        ...


# Streams of random numbers: the same seed must not give order and augmentation the same draws.
ORDER_STREAM, VIEW_STREAM, STEP_STREAM, HEAD_STREAM = 1, 2, 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which pictures each step of an epoch sees."""

    targets: np.ndarray  # int64 (N,)
    batch_size: int
    seed: int
    even_classes: bool = False  # draw with replacement, every class equally often

    @classmethod
    def of(cls, values: Hyperparameters, targets: np.ndarray) -> "Order":
        """The order that the hyperparameters ask for."""
        return cls(
            targets=targets,
            batch_size=values.batch_size,
            seed=values.seed,
            even_classes=values.balance == "sampler",
        )

    @property
    def steps_per_epoch(self) -> int:
        """The last batch may be smaller. A single picture that is left over joins the batch
        before it: batch norm cannot learn from one."""
        full, rest = divmod(len(self.targets), self.batch_size)
        return max(1, full + (rest > 1))

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Picture indices, int64 (N,), in the order in which `epoch` visits them."""
        generator = np.random.default_rng([self.seed, ORDER_STREAM, epoch])
        if not self.even_classes:
            return generator.permutation(len(self.targets))
        counts = np.bincount(self.targets)
        weights = 1.0 / counts[self.targets]
        return generator.choice(len(self.targets), len(self.targets), p=weights / weights.sum())

    def of_step(self, order: np.ndarray, step: int) -> np.ndarray:
        """The picture indices of one step of the epoch with this `order`."""
        start, is_last = step * self.batch_size, step + 1 == self.steps_per_epoch
        return order[start:] if is_last else order[start : start + self.batch_size]


class FeatureBatches:
    """Features from memory: (V, N, D) views of every picture; each visit draws one view."""

    def __init__(self, views_VND: Tensor, order: Order) -> None:
        self._views, self.order = views_VND, order
        self._targets = torch.from_numpy(order.targets).to(views_VND.device)

    def of_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Whole steps from `start_step` on; inputs are features (S, D) on their device."""
        order, device = self.order, self._views.device
        visits = order.of_epoch(epoch)
        generator = np.random.default_rng([order.seed, VIEW_STREAM, epoch])
        drawn = generator.integers(0, len(self._views), len(visits))
        for step in range(start_step, order.steps_per_epoch):
            chosen = torch.from_numpy(order.of_step(visits, step)).to(device)
            views = torch.from_numpy(order.of_step(drawn, step)).to(device)
            targets = self._targets[chosen]
            yield Batch(self._views[views, chosen], targets, torch.arange(len(targets)), targets)


class PictureBatches:
    """Augmented pictures, uint8 (B, H, W, 3), on the CPU."""

    def __init__(
        self,
        store: PictureStore,
        augment: Augment,
        order: Order,
        *,
        shares: Shares,
        num_workers: int,
        pin: bool,
        loading: Loading | None = None,
    ) -> None:
        """`loading`: None: nobody wants to know."""
        self.order, self._num_workers, self._pin = order, num_workers, pin
        self._loading = loading
        steps = _Steps(store, augment, order, shares)
        steps.is_timed = loading is not None and num_workers > 0
        self._visit = _Visit(order.steps_per_epoch)
        # Its workers live as long as it does: no epoch begins with the start of processes.
        self._loader: DataLoader[Batch | Fetched] = DataLoader(
            steps,
            batch_size=None,
            sampler=self._visit,
            num_workers=num_workers,
            pin_memory=pin,
            prefetch_factor=2 if num_workers else None,
            persistent_workers=num_workers > 0,
        )

    def of_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Our share of each step, from `start_step` on. It ends what an earlier call began."""
        self._visit.epoch, self._visit.start_step = epoch, start_step
        if self._loading is None:
            yield from self._loader
        else:
            yield from self._told(self._loader, self._loading)

    def _told(self, loader: "DataLoader[Batch | Fetched]", loading: Loading) -> Iterator[Batch]:
        kind = "_MultiProcessing" if self._num_workers else "_SingleProcess"
        with loading.starting(
            name=f"{kind}DataLoaderIter.__init__",  # what smdebug's analysis looks for
            pin_memory=self._pin,
            num_workers=self._num_workers,
        ):
            items = iter(loader)
        for item in items:
            if isinstance(item, Fetched):
                loading.fetched(item.made)
                item = item.batch
            yield item


@dataclass(slots=True)
class _Visit:
    """Which steps come next."""

    num_steps: int  # of an epoch
    epoch: int = 0
    start_step: int = 0

    def __len__(self) -> int:
        return self.num_steps - self.start_step

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for step in range(self.start_step, self.num_steps):
            yield self.epoch, step


class _Steps(Dataset[Batch | Fetched]):
    """Item (epoch, step) is our share of that step."""

    is_timed = False  # True: say who made it, and when

    def __init__(self, store: PictureStore, augment: Augment, order: Order, shares: Shares) -> None:
        self._store, self._augment, self._order = store, augment, order
        self._shares = shares
        self._visits = 0, np.empty(0, dtype=np.int64)  # an epoch, and its order

    def __getitem__(self, key: tuple[int, int]) -> Batch | Fetched:
        if not self.is_timed:
            return self._batch(*key)
        start_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        batch = self._batch(*key)
        cpu_ns = time.process_time_ns() - cpu_ns
        return Fetched(batch, Made(os.getpid(), start_ns, time.perf_counter_ns(), cpu_ns))

    def _batch(self, epoch: int, step: int) -> Batch:
        chosen = self._order.of_step(self._visits_of(epoch), step)
        places = self._shares.of_step(chosen)
        step_targets = torch.from_numpy(self._order.targets[chosen])
        return Batch(
            self._views(chosen, places, epoch, step),
            step_targets[torch.from_numpy(places)],
            torch.from_numpy(places),
            step_targets,
        )

    def _visits_of(self, epoch: int) -> np.ndarray:
        if self._visits[0] != epoch or not len(self._visits[1]):
            self._visits = epoch, self._order.of_epoch(epoch)
        return self._visits[1]

    def _views(self, chosen: np.ndarray, places: np.ndarray, epoch: int, step: int) -> Tensor:
        """uint8 (B, H, W, 3)."""
        if not len(places):
            side = self._augment.side_px
            return torch.empty(0, side, side, 3, dtype=torch.uint8)
        if not self._augment.is_random:
            return torch.from_numpy(np.stack([self._store[index] for index in chosen[places]]))
        views = []
        # A generator of its own for each step: the network's dropout must not see these draws.
        with torch.random.fork_rng(devices=[]):
            for place in places:
                # Of its own for each picture: processes that share a step draw only their views.
                torch.manual_seed(seed_of(self._order.seed, VIEW_STREAM, epoch, step, int(place)))
                views.append(self._augment(self._store[chosen[place]]))
        return torch.stack(views).permute(0, 2, 3, 1).contiguous()

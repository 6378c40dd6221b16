"""HeadLearner: a frozen trunk's features of every picture once, then head epochs from memory.

With several processes the features are divided among them; the head, which takes a fraction of a
second an epoch, is trained by the leader alone.
"""

import json
import math
from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from classifier.network import Network
from train.batches import FeatureBatches, Order
from train.data import JobData, Split
from train.device import Device
from train.features import FeatureTable, compute_features
from train.frozen import FrozenTrunk
from train.group import Group
from train.learner import Judged
from train.loop import Task
from train.memo import Memo, Same
from train.optim import loss_weights
from train.progress import Progress
from train.quantizing import find_int8
from train.scoring import Scores
from train.standardize import Standardizer
from train.start import Start
from train.views import Views
from train.watch import Phase, Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lessons:
    """Training features, standardised."""

    standardize: Standardizer
    table: FeatureTable


class HeadLearner:
    """Trains a linear head on standardised features; the shift and scale end up in the head."""

    trains_together = False

    def __init__(
        self,
        start: Start,
        data: JobData,
        device: Device,
        progress: Progress,
        group: Group | None = None,
        *,
        memo: Memo | None = None,
        watch: Watch | None = None,
    ) -> None:
        """`memo`: what this process knows of earlier trials; their results do not change by it."""
        self._start, self._device, self._progress = start, device, progress
        self._watch = watch or Watch()
        self._group, self._memo = group or Group(), memo or Memo()
        self.values = start.values
        self.network = start.network.to(device.torch)
        self.unreadable: list[tuple[str, str]] = []
        trunk: tuple[Hashable, ...] = (
            Same(start.network.trunk),
            start.preprocess,
            str(device.torch),
            str(device.dtype),
        )
        self._key = (*trunk, start.values.quantize, start.values.max_unreadable, Same(data.train))
        self.frozen = self._memo.once("frozen trunk", self._key, lambda: self._freeze(data))
        self.int8 = self.frozen.int8
        views = Views(start.values, start.preprocess)
        self._lessons = self._memo.once(
            "training features",
            (*self._key, json.dumps(views.key)),
            lambda: self._prepare(data.train, views),
        )
        self.unreadable.extend(self._lessons.table.unreadable)
        self._standardize = self._lessons.standardize
        self._validation_split = data.validation
        self._validation = self._evaluation(data.validation)
        if not self._group.is_leader:
            return  # nothing else to do here before the leader is done
        self._head = nn.Linear(self.network.head.in_features, len(data.labels), device=device.torch)
        self._start_head()
        self.task = self._task(self._lessons.table, len(data.labels))

    def _freeze(self, data: JobData) -> FrozenTrunk:
        frozen = FrozenTrunk(self._start, self._device, self._memo.cache)
        frozen.int8 = find_int8(self._start, data, self._device, frozen.graphs, self._group)
        return frozen

    def _prepare(self, split: Split, views: Views) -> _Lessons:
        table = self._features(split, views)
        standardize = Standardizer.of(table.views_VND)
        standardize.apply_(table.views_VND)  # in place: it may be most of the memory
        return _Lessons(standardize=standardize, table=table)

    def _evaluation(self, split: Split) -> FeatureTable:
        table = self._memo.once(
            f"features of {split.name}",
            (*self._key, Same(split)),
            lambda: self._features(split, None),
        )
        self.unreadable.extend(table.unreadable)
        return table

    def _start_head(self) -> None:
        """The network's head; one that was trained before keeps answering as it did."""
        source, continues = self.network.head, self._start.continues
        with torch.no_grad():
            weight, bias = self._standardize.beginning(source, continues=continues)
            self._head.weight.copy_(weight)
            self._head.bias.copy_(bias)

    def _task(self, table: FeatureTable, num_classes: int) -> Task:
        values = self._start.values
        order = Order.of(values, table.targets)
        weights = loss_weights(values, table.targets, num_classes, self._device.torch)
        inputs = self._standardize(self._validation.views_VND[0])
        targets = torch.from_numpy(self._validation.targets)
        return Task(
            module=self._head,
            batches=FeatureBatches(table.views_VND, order),
            validate=lambda head, _stop: self._score(head, inputs=inputs, targets=targets),
            set_training=self._head.train,
            class_weights=weights,
        )

    def finish(self, best_state: dict[str, Tensor]) -> Network:
        """The network whose head answers on raw features as the best head did."""
        weight, bias = self._standardize.into_head(best_state["weight"], best_state["bias"])
        with torch.no_grad():
            self.network.head.weight.copy_(weight)
            self.network.head.bias.copy_(bias)
        return self.network

    def judge(self, split: Split, known: Scores | None = None) -> Judged:
        """Score the finished network; validation's features are still at hand.

        Processes that do not lead compute their share of the features and know no scores.
        """
        table = self._validation if split is self._validation_split else self._evaluation(split)
        if not self._group.is_leader:
            nothing = Scores(loss=math.nan, accuracy=math.nan, probabilities=torch.empty(0))
            return Judged(split=split.name, pictures=(), scores=nothing)
        scores = known
        if scores is None:
            inputs, targets = table.views_VND[0], torch.from_numpy(table.targets)
            with self._watch.span(Phase.EVALUATE, split=split.name):
                scores = self._score(self.network.head, inputs=inputs, targets=targets)
        return Judged(split=split.name, pictures=table.pictures, scores=scores)

    def _features(self, split: Split, views: Views | None) -> FeatureTable:
        source = self.frozen.source(views, len(split))
        facts = {"split": split.name, "num_images": len(split)}
        with (
            self._watch.span(Phase.FEATURES, **facts),
            self._progress.phase(f"features of {split.name}", len(split)) as on_picture,
        ):
            return compute_features(
                source,
                split,
                self._device,
                max_unreadable=self._start.values.max_unreadable,
                on_picture=on_picture,
                group=self._group,
            )

    def _score(self, head: nn.Module, *, inputs: Tensor, targets: Tensor) -> Scores:
        with self._watch.span(Phase.EVALUATION_STEP), torch.inference_mode():
            return Scores.of(head(inputs), targets)

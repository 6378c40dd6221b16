"""HeadLearner: a frozen trunk's features of every picture once, then head epochs from memory.

With several processes the features are divided among them; the head, which takes a fraction of a
second an epoch, is trained by the leader alone.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from classifier.int8_trunk import Int8Trunk
from classifier.network import Network
from classifier.preprocess import decode_picture, decode_resized
from train.batches import FeatureBatches, Order
from train.data import JobData, Split
from train.device import Device
from train.features import FeatureTable, Standardizer, Views, compute_features
from train.group import Group
from train.learner import Judged
from train.loop import Task
from train.optim import loss_weights
from train.progress import Progress
from train.quantizing import find_int8_trunk
from train.scoring import Scores
from train.start import Start


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
    ) -> None:
        self._start, self._device, self._progress = start, device, progress
        self._group = group or Group()
        self.values = start.values
        self.network = start.network.to(device.torch)
        self.unreadable: list[tuple[str, str]] = []
        self.int8: Int8Trunk | None = find_int8_trunk(start, data, device, self._group)
        views = Views(start.values, start.preprocess)
        table = self._features(data.train, views)
        self._validation_split = data.validation
        self._validation = self._features(data.validation, None)
        if not self._group.is_leader:
            return  # nothing else to do here before the leader is done
        self._standardize = Standardizer.of(table.views_VND)
        self._head = nn.Linear(self.network.head.in_features, len(data.labels), device=device.torch)
        self._start_head()
        self.task = self._task(table, len(data.labels))

    def _start_head(self) -> None:
        """The network's head; one that was trained before keeps answering as it did."""
        source = self.network.head
        with torch.no_grad():
            weight, bias = source.weight, source.bias
            if self._start.continues:
                weight, bias = self._standardize.from_head(weight, bias)
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
            batches=FeatureBatches(self._standardize(table.views_VND), order),
            validate=lambda head, _stop: _score(head, inputs=inputs, targets=targets),
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
        table = self._validation if split is self._validation_split else self._features(split, None)
        if not self._group.is_leader:
            nothing = Scores(loss=math.nan, accuracy=math.nan, probabilities=torch.empty(0))
            return Judged(split=split.name, pictures=(), scores=nothing)
        scores = known or _score(
            self.network.head,
            inputs=table.views_VND[0],
            targets=torch.from_numpy(table.targets),
        )
        return Judged(split=split.name, pictures=table.pictures, scores=scores)

    def _features(self, split: Split, views: Views | None) -> FeatureTable:
        preprocess = self._start.preprocess
        decode = partial(decode_picture, preprocess=preprocess)
        if views is not None and views.whole_short_px is not None:
            decode = partial(decode_resized, short_px=views.whole_short_px)
        with self._progress.phase(f"features of {split.name}", len(split)) as on_picture:
            table = compute_features(
                self.network,
                split,
                decode,
                self._device,
                views=views,
                max_unreadable=self._start.values.max_unreadable,
                on_picture=on_picture,
                group=self._group,
                int8=self.int8,
            )
        self.unreadable.extend(table.unreadable)
        return table


def _score(head: nn.Module, *, inputs: Tensor, targets: Tensor) -> Scores:
    with torch.inference_mode():
        return Scores.of(head(inputs), targets)

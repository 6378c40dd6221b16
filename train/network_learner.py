"""NetworkLearner: fine-tuning of a part or all of the network, from decoded pictures."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from classifier.network import Network, load_state, set_training
from classifier.preprocess import Pixels, decode_picture, decode_resized
from contract.host import free_memory_bytes
from train.augment import Augment
from train.batches import Order, PictureBatches
from train.data import JobData, Split
from train.device import Device
from train.learner import Judged
from train.loop import Task
from train.optim import loss_weights
from train.pictures import PictureStore
from train.progress import Progress
from train.scoring import Scores
from train.shared_memory import num_loader_workers
from train.start import Start

# Of the memory that is free when training starts; the rest is for the network's activations.
CACHE_SHARE = 0.5
_EVALUATION_BATCH = {"cpu": 32, "cuda": 256}


class NetworkLearner:
    """Trains through the trunk; evaluates on centre crops as the server will see them."""

    def __init__(self, start: Start, data: JobData, device: Device, progress: Progress) -> None:
        self._start, self._device, self._progress = start, device, progress
        self.values = start.values
        self._network = start.network.to(device.torch)
        self.unreadable: list[tuple[str, str]] = []
        self._budget_bytes = int(free_memory_bytes() * CACHE_SHARE)
        augment = Augment(start.values, start.preprocess)
        crops = partial(decode_picture, preprocess=start.preprocess)
        decode: Callable[[bytes], Pixels] = crops
        if augment.is_random:
            decode = partial(decode_resized, short_px=augment.cache_short_px)
        self._crops = crops
        store = self._store(data.train, decode)
        self._validation = self._store(data.validation, crops)
        self._validation_split = data.validation
        self.task = self._task(store, augment, len(data.labels))

    def _task(self, store: PictureStore, augment: Augment, num_classes: int) -> Task:
        values, device = self._start.values, self._device
        order = Order.of(values, store.targets)
        weights = loss_weights(values, store.targets, num_classes, device.torch)
        batches = PictureBatches(
            store,
            augment,
            order,
            num_workers=num_loader_workers(values, device, self._start.preprocess.crop_px),
            pin=device.is_cuda,
        )
        return Task(
            module=self._network,
            batches=batches,
            validate=self._score_validation,
            set_training=partial(set_training, self._network),
            class_weights=weights,
        )

    def _score_validation(self, module: nn.Module) -> Scores:
        return self._score(module, self._validation)

    def finish(self, best_state: dict[str, Tensor]) -> Network:
        """The network with the best weights."""
        load_state(self._network, best_state)
        return self._network

    def judge(self, split: Split) -> Judged:
        """Score the finished network on the centre crops of a split."""
        store = (
            self._validation if split is self._validation_split else self._store(split, self._crops)
        )
        scores = self._score(self._network, store)
        return Judged(split=split.name, pictures=tuple(store.pictures), scores=scores)

    def _store(self, split: Split, decode: Callable[[bytes], Pixels]) -> PictureStore:
        store = PictureStore(split, decode, self._budget_bytes, self._device.cpus)
        with self._progress.phase(f"decode {split.name}", len(split)) as on_picture:
            store.fill(self._start.values.max_unreadable, on_picture)
        self._budget_bytes -= store.num_bytes
        self.unreadable.extend(store.unreadable)
        return store

    def _score(self, module: nn.Module, store: PictureStore) -> Scores:
        module.eval()
        size = _EVALUATION_BATCH[self._device.torch.type]
        logits: list[Tensor] = []
        with torch.inference_mode(), self._device.autocast():
            for start in range(0, len(store), size):
                stop = min(start + size, len(store))
                pixels = torch.from_numpy(np.stack([store[i] for i in range(start, stop)]))
                logits.append(module(pixels.to(self._device.torch, non_blocking=True)).float())
        return Scores.of(torch.cat(logits), torch.from_numpy(store.targets))

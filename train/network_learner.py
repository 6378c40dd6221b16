"""NetworkLearner: fine-tuning of a part or all of the network, from decoded pictures."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from classifier.network import Network, load_state, set_training
from classifier.preprocess import Pixels, decode_picture, decode_resized
from contract.host import free_memory_bytes
from train.augment import Augment
from train.batches import Order, PictureBatches
from train.compiler import compiled
from train.data import JobData, Split
from train.device import Device
from train.first_features import first_features
from train.group import Group
from train.learner import Judged
from train.loop import Task
from train.memo import Memo
from train.memory import keep_freed_memory
from train.optim import loss_weights
from train.picture_cache import KeptDecode
from train.pictures import PictureStore
from train.progress import Progress
from train.scoring import Scores, pool_scores
from train.shared_layers import StepShare, share_layers
from train.shared_memory import num_loader_workers
from train.shares import Shares
from train.standardize import StandardizedHead
from train.start import Start
from train.stop import Stop
from train.watch import Phase, Watch

# Of the memory that is free when training starts; the rest is for the network's activations.
CACHE_SHARE = 0.5
_EVALUATION_BATCH = {"cpu": 32, "cuda": 256}


class NetworkLearner:
    """Trains through the trunk; evaluates on centre crops as the server will see them."""

    trains_together = True
    int8 = None  # quantised afterwards, if at all
    frozen = None

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
        """`memo`: only its cache is of use here."""
        self._watch = watch or Watch()
        self._cache = (memo or Memo()).cache
        self._start, self._device, self._progress = start, device, progress
        self._group = group or Group()
        self.values = start.values
        self.network = start.network.to(device.torch)
        if not device.is_cuda:
            keep_freed_memory()
        self._step = StepShare()
        if not self._group.is_alone:
            share_layers(self.network, self._step)
            self._group.equalize(self.network)
        self.unreadable: list[tuple[str, str]] = []
        share = CACHE_SHARE / self._group.world.local_size
        self._budget_bytes = int(free_memory_bytes() * share)
        augment = Augment(start.values, start.preprocess)
        crops = partial(decode_picture, preprocess=start.preprocess)
        decode: Callable[[bytes], Pixels] = crops
        if augment.is_random:
            decode = partial(decode_resized, short_px=augment.cache_short_px)
        self._crops = crops
        short_px = augment.cache_short_px if augment.is_random else 0
        store = self._store(data.train, decode, short_px)
        self._validation = self._store(data.validation, crops)
        self._validation_split = data.validation
        self._order = Order.of(start.values, store.targets)
        self._head = self._standardized_head(store, augment)
        self.network.head = self._head
        self.task = self._task(store, augment, len(data.labels))

    def _standardized_head(self, store: PictureStore, augment: Augment) -> StandardizedHead:
        shares = Shares(store.pictures, self._group)
        # Without workers: they would make more batches than these few.
        batches = PictureBatches(
            store, augment, self._order, shares=shares, num_workers=0, pin=False
        )
        standardizer = first_features(
            self.network, batches, self._device, self._group, self._step.begin
        )
        return StandardizedHead(self.network.head, standardizer, continues=self._start.continues)

    def _task(self, store: PictureStore, augment: Augment, num_classes: int) -> Task:
        values, device = self._start.values, self._device
        weights = loss_weights(values, store.targets, num_classes, device.torch)
        batches = PictureBatches(
            store,
            augment,
            self._order,
            shares=Shares(store.pictures, self._group),
            num_workers=num_loader_workers(values, device, self._start.preprocess.crop_px),
            pin=device.is_cuda,
            loading=self._watch if self._watch.is_timed else None,
        )
        return Task(
            module=self.network,
            batches=batches,
            validate=self._score_validation,
            set_training=partial(set_training, self.network),
            class_weights=weights,
            group=self._group,
            begin_step=self._step.begin,
            compiled=compiled(self.network) if values.compile else None,
        )

    def _score_validation(self, module: nn.Module, stop: Stop) -> Scores | None:
        return self._score(module, self._validation, stop)

    def finish(self, best_state: dict[str, Tensor]) -> Network:
        """The network with the best weights, and a plain head that answers on raw features."""
        self.network.head = self._head
        load_state(self.network, best_state)
        self.network.head = self._head.plain()
        return self.network

    def judge(self, split: Split, known: Scores | None = None) -> Judged:
        """Score the finished network on the centre crops of a split, unless that is `known`."""
        is_validation = split is self._validation_split
        store = self._validation if is_validation else self._store(split, self._crops)
        scores = known
        if scores is None:
            with self._watch.span(Phase.EVALUATE, split=split.name):
                scores = self._score(self.network, store, Stop())
        assert scores is not None  # nobody stops it
        return Judged(split=split.name, pictures=tuple(store.pictures), scores=scores)

    def _store(
        self, split: Split, decode: Callable[[bytes], Pixels], short_px: int = 0
    ) -> PictureStore:
        """`short_px`: 0 where `decode` makes centre crops."""
        preprocess = self._start.preprocess
        settings = {} if short_px else asdict(preprocess)
        short_px = short_px or preprocess.crop_px
        kept = KeptDecode(self._cache, decode, short_px, len(split), **settings)
        store = PictureStore(split, kept, self._budget_bytes, self._device.cpus)
        try:
            with (
                self._watch.span(Phase.DECODE, split=split.name, num_images=len(split)),
                self._progress.phase(f"decode {split.name}", len(split)) as on_picture,
            ):
                store.fill(self._start.values.max_unreadable, on_picture, self._group)
        finally:
            kept.finish()
        self._budget_bytes -= store.num_bytes
        self.unreadable.extend(store.unreadable)
        return store

    def _score(self, module: nn.Module, store: PictureStore, stop: Stop) -> Scores | None:
        """Exact over the whole split; each process answers for its share of the pictures.

        None once any process has been told to stop: what is left could take minutes.
        """
        module.eval()
        size = _EVALUATION_BATCH[self._device.torch.type]
        ours = Shares(store.pictures, self._group).of_all(len(store))
        logits: list[Tensor] = [torch.empty(0, self.network.head.out_features)]
        with torch.inference_mode(), self._device.autocast():
            for start in range(0, len(ours), size):
                if stop.signalled:
                    break
                chosen = ours[start : start + size]
                with self._watch.span(Phase.EVALUATION_STEP, num_images=len(chosen)):
                    pixels = torch.from_numpy(np.stack([store[index] for index in chosen]))
                    answers = module(pixels.to(self._device.torch, non_blocking=True))
                    logits.append(answers.float().cpu())
        if self._group.any(stop.signalled):
            return None
        return pool_scores(torch.cat(logits), ours, torch.from_numpy(store.targets), self._group)

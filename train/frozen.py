"""FrozenTrunk: which engine makes a job's features, and what earlier jobs know of it."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial

import torch
from torch import Tensor

from classifier.preprocess import Pixels, decode_picture, decode_resized
from classifier.trunk_graph import TrunkGraph
from contract.host import chip_name
from contract.manifest import Preprocess
from train.cache import Cache, digest_of
from train.data import Picture
from train.device import Device
from train.feature_cache import FeatureShelf
from train.features import Rows, Source, compute_rows
from train.picture_cache import KeptDecode
from train.pictures import Decode
from train.start import Start
from train.trunk_cache import TrunkCache, versions_of
from train.trunk_pass import GraphTrunk, TorchTrunk, Trunk
from train.views import CENTRE, Views

SPEED_SECONDS = 86_400.0  # that a speed is believed


class FrozenTrunk:
    """The trunk of a start, in the engines that compute it."""

    def __init__(self, start: Start, device: Device, cache: Cache) -> None:
        self._start, self._device, self.cache = start, device, cache
        self.width = start.network.head.in_features
        self.graphs = TrunkCache(
            cache,
            start.network,
            start.values.arch,
            start.preprocess.crop_px,
            threads=device.cpus,
        )
        self.int8: TrunkGraph | None = None  # the head learns on it, if there is one

    @property
    def preprocess(self) -> Preprocess:
        """How pictures become what the trunk sees."""
        return self._start.preprocess

    @property
    def graph(self) -> TrunkGraph | None:
        """The graph that the head learns on: what will be served. None: a GPU, or bf16."""
        if self.int8 is not None:
            return self.int8
        is_plain = not self._device.is_cuda and self._device.dtype == torch.float32
        return self.graphs.f32 if is_plain else None

    @cached_property
    def trunk(self) -> Trunk:
        """What the head learns on. Ask when it is known whether there is an int8 one."""
        graph = self.graph
        if graph is not None:
            return GraphTrunk(graph)
        return TorchTrunk(self._start.network, self._device, self.graphs.digest)

    def source(self, views: Views | None, num_pictures: int) -> Source:
        """Features to learn from, of so many pictures; centre crops without `views`."""
        short_px = views.whole_short_px if views is not None else None
        if short_px is None:
            return self._source(self.trunk, self.crop, views)
        # The same whole pictures are needed again for the views of another seed.
        whole = partial(decode_resized, short_px=short_px)
        decode = KeptDecode(self.cache, whole, short_px, num_pictures)
        return replace(self._source(self.trunk, decode, views), kept=decode)

    def compute_f32(self, pictures: Sequence[Picture]) -> Rows:
        """Features of centre crops, (N, 1, D), by the float32 graph as it is served."""
        source = self._source(GraphTrunk(self.graphs.f32), self.crop, None)
        return compute_rows(source, pictures, replace(self._device, torch=torch.device("cpu")))

    def crop(self, data: bytes) -> Pixels:
        """The centre crop of a picture. Raises ImageError."""
        return decode_picture(data, self._start.preprocess)

    def _source(self, trunk: Trunk, decode: Decode, views: Views | None) -> Source:
        shelf = FeatureShelf(
            self.cache,
            trunk.key,
            CENTRE if views is None else views.key,
            self._start.preprocess,
            (views.num_views if views is not None else 1, self.width),
        )
        return Source(trunk=trunk, width=self.width, decode=decode, views=views, shelf=shelf)

    def speeds(self, num_labels: int) -> "Speeds":
        """What was measured of this trunk's variants, on this chip, with as many threads."""
        key = None
        if self.cache.is_on:
            key = {
                "trunk": self.graphs.digest,
                "int8": self.int8.recipe if self.int8 else "",
                "arch": self._start.values.arch,
                "crop_px": self._start.preprocess.crop_px,
                "labels": num_labels,
                "chip": chip_name(),
                "threads": self._device.cpus,
                **versions_of("torch", "openvino"),
            }
        return Speeds(self.cache, key)


class Speeds:
    """Pictures a second by variant, kept over jobs, not for long: others may have been busy."""

    def __init__(
        self, cache: Cache, key: dict[str, object] | None, now: Callable[[], float] = time.time
    ) -> None:
        self._shelf, self._now = cache.shelf("speeds", key), now

    def get(self, name: str) -> float | None:
        """None: not measured lately."""
        text = self._shelf.get(digest_of(name.encode()))
        speed, at = json.loads(text) if text else (0.0, -SPEED_SECONDS)
        return speed if 0 <= self._now() - at < SPEED_SECONDS else None

    def put(self, name: str, images_per_second: float) -> None:
        """Remember it for the next job."""
        text = json.dumps([images_per_second, self._now()])
        self._shelf.put(digest_of(name.encode()), text.encode())
        self._shelf.flush()


def answer(rows_ND: Tensor, head: torch.nn.Linear) -> Tensor:
    """Probabilities (N, K) of features (N, D), on the CPU."""
    weight, bias = head.weight.detach().cpu().float(), head.bias.detach().cpu().float()
    return torch.nn.functional.linear(rows_ND.cpu(), weight, bias).softmax(dim=1)

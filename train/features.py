"""Features: what a frozen trunk makes of every picture, computed once (DESIGN decision 2)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from classifier.int8_trunk import Int8Trunk
from classifier.network import Network
from classifier.preprocess import Pixels, fit_array
from contract.errors import HyperparameterError
from contract.hyperparameters import Hyperparameters
from contract.manifest import Preprocess
from train.augment import Augment, seed_of
from train.batches import VIEW_STREAM
from train.data import Picture, Split
from train.device import Device
from train.group import Group
from train.pictures import Decode, Unreadable, decode_all, pool_unreadable
from train.shares import Shares

# Deviation of standardised features. Pooled features of ReLU networks have about this much, so
# learning rates known from the field fit; with 1, a wide head's random start would drown the
# little that a few hundred pictures teach it (dogs, 1,512 features: 0.39 against 0.43 top-1).
FEATURE_DEVIATION = 0.2
_BATCH_SIZE = {"cpu": 32, "cuda": 256}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """Features of one split's readable pictures."""

    views_VND: Tensor  # float32 (views, pictures, width), on the device
    pictures: tuple[Picture, ...]
    unreadable: tuple[tuple[str, str], ...]

    @property
    def targets(self) -> np.ndarray:
        """Class indices, int64 (N,)."""
        return np.array([picture.class_index for picture in self.pictures], dtype=np.int64)


class Views:
    """The views of a picture that the trunk sees: the centre crop first, then random ones.

    Without augmentation a second view is the mirrored centre crop.
    """

    def __init__(self, values: Hyperparameters, preprocess: Preprocess) -> None:
        self._augment = Augment(values, preprocess)
        self._preprocess, self._seed = preprocess, values.seed
        self.num_views = values.views or (4 if self._augment.is_random else 1)
        if self.num_views > 2 and not self._augment.is_random:
            raise HyperparameterError(
                "views", values.views, "at most 2 (centre and mirrored) unless augment is set"
            )

    @property
    def whole_short_px(self) -> int | None:
        """Shorter side of the whole pictures that `__call__` needs; None: it needs none."""
        return self._augment.cache_short_px if self._augment.is_random else None

    def __call__(self, pixels: Pixels, index: int) -> Pixels:
        """uint8 (V, crop, crop, 3) of the picture with this index."""
        centre = fit_array(pixels, self._preprocess)
        if self.num_views == 1:
            return centre[None]
        if not self._augment.is_random:
            return np.stack([centre, centre[:, ::-1]])
        views = [centre]
        with torch.random.fork_rng(devices=[]):
            for view in range(1, self.num_views):
                torch.manual_seed(seed_of(self._seed, VIEW_STREAM, index, view))
                views.append(self._augment(pixels).permute(1, 2, 0).numpy())
        return np.stack(views)


def compute_features(
    network: Network,
    split: Split,
    decode: Decode,
    device: Device,
    *,
    views: Views | None,
    max_unreadable: float,
    on_picture: Callable[[int], None],
    group: Group | None = None,
    int8: Int8Trunk | None = None,
) -> FeatureTable:
    """Run the frozen trunk once over every readable picture (and view) of `split`.

    Several processes divide the pictures; only the leader's table holds features then.

    Args:
        decode: bytes to whole pictures when `views` needs them, else to centre crops.
        views: None for one centre crop each (evaluation).
        int8: computes the features instead of `network`'s own trunk.

    Raises DataError: too many unreadable pictures.
    """
    group = group or Group()
    trunk = Int8Features(int8) if int8 else TorchFeatures(network, device)
    trunk_pass = _TrunkPass(trunk, network.head.in_features, views.num_views if views else 1)
    ours = Shares(split.pictures, group).of_all(len(split))
    read: list[int] = []
    unreadable: Unreadable = {}
    chosen = [split.pictures[index] for index in ours]
    for index, (_, pixels, reason) in zip(
        ours.tolist(), decode_all(chosen, decode, device.cpus), strict=True
    ):
        if pixels is None:
            unreadable[index] = reason
        else:
            trunk_pass.add(views(pixels, index) if views else pixels[None])
            read.append(index)
        on_picture(1)
    unreadable = pool_unreadable(split, unreadable, max_unreadable, group)
    return FeatureTable(
        views_VND=_pool_rows(trunk_pass.finish(), read, group).to(device.torch),
        pictures=tuple(
            picture for index, picture in enumerate(split.pictures) if index not in unreadable
        ),
        unreadable=tuple(
            (str(split.pictures[index].path), reason) for index, reason in unreadable.items()
        ),
    )


def _pool_rows(rows_NVD: Tensor, read: list[int], group: Group) -> Tensor:
    """(V, N, D) of all processes' pictures in the split's order; (V, 0, D) where not the leader.

    `read`: which pictures of the split the rows belong to.
    """
    if not group.is_alone:
        indices = [index for part in group.gather(read) for index in part]
        parts = group.collect(rows_NVD.cpu())
        rows_NVD = torch.cat(parts)[np.argsort(indices)] if parts else rows_NVD[:0]
    return rows_NVD.transpose(0, 1).contiguous()


class TorchFeatures:
    """The trunk on the job's device, in its precision."""

    def __init__(self, network: Network, device: Device) -> None:
        self._network, self._device = network.eval(), device
        self.batch_size = _BATCH_SIZE[device.torch.type]

    def __call__(self, images_NHWC: Pixels) -> Tensor:
        """uint8 (N, H, W, 3) to float32 (N, D) on the device."""
        images = torch.from_numpy(images_NHWC)
        with torch.inference_mode(), self._device.autocast():
            features = self._network.features(images.to(self._device.torch, non_blocking=True))
        return features.float()


class Int8Features:
    """The quantised trunk, on the CPU."""

    batch_size = _BATCH_SIZE["cpu"]

    def __init__(self, trunk: Int8Trunk) -> None:
        self._trunk = trunk

    def __call__(self, images_NHWC: Pixels) -> Tensor:
        """uint8 (N, H, W, 3) to float32 (N, D)."""
        return torch.from_numpy(self._trunk.features(images_NHWC))


class _TrunkPass:
    """Collects pictures into batches and runs the trunk over each."""

    def __init__(self, trunk: TorchFeatures | Int8Features, width: int, num_views: int) -> None:
        self._trunk, self._width, self._num_views = trunk, width, num_views
        self._batch_size = max(1, trunk.batch_size // num_views)
        self._pending: list[Pixels] = []
        self._rows: list[Tensor] = []

    def add(self, views_VHWC: Pixels) -> None:
        """One picture's views."""
        self._pending.append(views_VHWC)
        if len(self._pending) == self._batch_size:
            self._flush()

    def finish(self) -> Tensor:
        """Features of all pictures, float32 (N, V, D)."""
        self._flush()
        if not self._rows:  # another process had all the pictures
            return torch.empty(0, self._num_views, self._width)
        return torch.cat(self._rows)

    def _flush(self) -> None:
        if not self._pending:
            return
        features = self._trunk(np.concatenate(self._pending))
        self._rows.append(features.reshape(len(self._pending), self._num_views, -1))
        self._pending.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardizer:
    """Shift and scale of features to mean 0 and one deviation, folded into the head at the end."""

    mean: Tensor  # (D,)
    scale: Tensor  # (D,), never 0

    @classmethod
    def of(cls, views_VND: Tensor) -> "Standardizer":
        """From the training features. A feature that hardly varies is not blown up: the scale
        is never below a hundredth of the typical one."""
        flat = views_VND.flatten(0, 1).double()
        deviation = flat.std(dim=0, correction=0)
        typical = float(deviation.square().mean().sqrt()) or 1.0
        return cls(
            mean=flat.mean(dim=0).float(),
            scale=(deviation.clamp_min(0.01 * typical) / FEATURE_DEVIATION).float(),
        )

    def __call__(self, features: Tensor) -> Tensor:
        """Standardised features, any shape (..., D)."""
        return (features - self.mean) / self.scale

    def into_head(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """A head for raw features that answers as (weight, bias) does for standardised ones."""
        raw_weight = weight.double() / self.scale.double()
        return raw_weight.float(), (bias.double() - raw_weight @ self.mean.double()).float()

    def from_head(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `into_head`: where an earlier model's head starts."""
        return weight * self.scale, bias + weight @ self.mean

"""Random changes of training pictures, by torchvision's v2 transforms on uint8."""

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from classifier.preprocess import Pixels, fit_array
from contract.hyperparameters import Hyperparameters
from contract.manifest import Preprocess

# Random crops are cut from pictures kept a little larger than the network's input.
CACHE_SCALE = 1.15


class Augment:
    """Whole uint8 pictures (H, W, 3) to one training view (crop, crop, 3) each.

    The presets are those of the built-in Image Classification algorithm: `crop` also mirrors;
    `crop_color` changes hue by up to 36 of 360 degrees, saturation and brightness by up to 50 of
    255; `crop_color_transform` also rotates, shears and stretches.
    Source: SageMaker developer guide, IC-Hyperparameter, augmentation_type.
    """

    def __init__(self, values: Hyperparameters, preprocess: Preprocess) -> None:
        self._preprocess = preprocess
        interpolation = InterpolationMode(preprocess.interpolation)
        side = preprocess.crop_px
        self._square: list[v2.Transform] = []  # after these the picture has its final size
        if values.augment != "none":
            self._square = [
                v2.RandomResizedCrop(side, scale=(0.35, 1), interpolation=interpolation),
                v2.RandomHorizontalFlip(),
            ]
        changes: list[v2.Transform] = []
        if values.augment in ("crop_color", "crop_color_transform"):
            changes.append(v2.ColorJitter(brightness=0.2, saturation=0.2, hue=0.1))
        if values.augment == "crop_color_transform":
            changes.append(
                v2.RandomAffine(degrees=10, shear=6, scale=(0.9, 1.1), interpolation=interpolation)
            )
        if values.randaugment:
            changes.append(v2.RandAugment(magnitude=values.randaugment))
        if values.random_erasing:
            changes.append(v2.RandomErasing(p=values.random_erasing))
        self._changes = changes

    @property
    def side_px(self) -> int:
        """Side of a view."""
        return self._preprocess.crop_px

    @property
    def is_random(self) -> bool:
        """False when every view of a picture is the same centre crop."""
        return bool(self._square or self._changes)

    @property
    def cache_short_px(self) -> int:
        """Shorter side of the pictures that should be kept for `__call__`."""
        return round(self._preprocess.resize_px * CACHE_SCALE)

    def __call__(self, pixels: Pixels) -> Tensor:
        """One view as uint8 (3, crop, crop). Draws from torch's global CPU generator."""
        if self._square:
            view = _to_chw(pixels)
            for transform in self._square:
                view = transform(view)
        else:
            view = _to_chw(fit_array(pixels, self._preprocess))
        for transform in self._changes:
            view = transform(view)
        return view


def _to_chw(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)


def seed_of(*parts: int) -> int:
    """One 63-bit seed from several numbers, the same on every machine and Python."""
    sequence = np.random.SeedSequence(list(parts))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)

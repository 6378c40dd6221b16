"""Views: what a frozen trunk sees of each training picture."""

import sys
from typing import Any

import numpy as np
import torch

import train.augment
from classifier.preprocess import Pixels, fit_array
from contract.errors import HyperparameterError
from contract.hyperparameters import Hyperparameters
from contract.manifest import Preprocess
from train.augment import Augment, seed_of
from train.batches import VIEW_STREAM
from train.cache import digest_of_code
from train.trunk_cache import versions_of

CENTRE: dict[str, Any] = {"views": 1}  # the key of one centre crop


class Views:
    """The views of a picture that the trunk sees: the centre crop first, then random ones.

    Without augmentation a second view is the mirrored centre crop.
    """

    def __init__(self, values: Hyperparameters, preprocess: Preprocess) -> None:
        self._augment = Augment(values, preprocess)
        self._preprocess, self._values = preprocess, values
        self.num_views = values.views or (4 if self._augment.is_random else 1)
        if self.num_views > 2 and not self._augment.is_random:
            raise HyperparameterError(
                "views", values.views, "at most 2 (centre and mirrored) unless augment is set"
            )

    @property
    def whole_short_px(self) -> int | None:
        """Shorter side of the whole pictures that `__call__` needs; None: it needs none."""
        return self._augment.cache_short_px if self._augment.is_random else None

    @property
    def key(self) -> dict[str, Any]:
        """Everything that the views depend on besides the picture."""
        if not self._augment.is_random:
            return {"views": self.num_views}
        values = self._values
        return {
            "views": self.num_views,
            "whole_short_px": self.whole_short_px,
            "seed": values.seed,
            "augment": values.augment,
            "randaugment": values.randaugment,
            "random_erasing": values.random_erasing,
            "code": digest_of_code(train.augment, sys.modules[__name__]),
            **versions_of("torch", "torchvision"),
        }

    def __call__(self, pixels: Pixels, number: int) -> Pixels:
        """uint8 (V, crop, crop, 3) of a picture; `number` says which, and so what is drawn."""
        centre = fit_array(pixels, self._preprocess)
        if self.num_views == 1:
            return centre[None]
        if not self._augment.is_random:
            return np.stack([centre, centre[:, ::-1]])
        views = [centre]
        with torch.random.fork_rng(devices=[]):
            for view in range(1, self.num_views):
                torch.manual_seed(seed_of(self._values.seed, VIEW_STREAM, number, view))
                views.append(self._augment(pixels).permute(1, 2, 0).numpy())
        return np.stack(views)

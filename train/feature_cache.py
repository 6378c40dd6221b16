"""FeatureShelf: what one trunk made of pictures before, picture by picture."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import features

import classifier.preprocess
from contract.manifest import Preprocess
from train.cache import Cache, digest_of_code
from train.trunk_cache import versions_of


def decoding_key() -> dict[str, Any]:
    """What pixels depend on besides a picture's bytes and the sizes that are asked for."""
    return {
        "code": digest_of_code(classifier.preprocess),
        "jpeg": features.version("libjpeg_turbo") or features.version("jpg"),
        **versions_of("pillow"),
    }


class FeatureShelf:
    """Rows of features by the digest of the picture's bytes."""

    def __init__(
        self,
        cache: Cache,
        trunk: Mapping[str, Any] | None,
        views: Mapping[str, Any],
        preprocess: Preprocess,
        shape_VD: tuple[int, int],
    ) -> None:
        """
        Args:
            trunk: everything about the engine; None: not known, and nothing is kept.
            views: what is shown to the trunk of each picture.
            shape_VD: of a row: views of a picture, features of a view.
        """
        key = None
        if trunk is not None:
            key = {
                "trunk": dict(trunk),
                "views": dict(views),
                "preprocess": asdict(preprocess),
                "decoding": decoding_key(),
                "shape": shape_VD,
            }
        self._shelf = cache.shelf("features", key)
        self._shape_VD = shape_VD

    @property
    def is_on(self) -> bool:
        """False when nothing is kept or found."""
        return self._shelf.is_on

    def get(self, name: bytes) -> NDArray[np.float32] | None:
        """(V, D), read-only; None: not there."""
        data = self._shelf.get(name)
        return None if data is None else np.frombuffer(data, np.float32).reshape(self._shape_VD)

    def put(self, name: bytes, row_VD: NDArray[np.float32]) -> None:
        """Keep the features of a picture."""
        self._shelf.put(name, np.ascontiguousarray(row_VD, np.float32).data.cast("B"))

    def flush(self) -> None:
        """Let other processes see what was put."""
        self._shelf.flush()

"""KeptDecode: a decoder whose pictures are found again, by any process, in the cache."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from classifier.preprocess import Pixels
from train.cache import Cache, digest_of
from train.feature_cache import decoding_key

_SIDES = struct.Struct("<II")  # height, width
_SHARE = 0.5  # of the cache, that the pictures of one pass may take
_LONGER = 1.5  # of a photograph's sides, the longer by the shorter, at most as a rule


class KeptDecode:
    """Decodes a picture, unless the cache has it. Thread-safe.

    After `finish` it only looks: processes that are forked then may go on with it.
    """

    def __init__(
        self,
        cache: Cache,
        decode: Callable[[bytes], Pixels],
        short_px: int,
        num_pictures: int,
        **settings: Any,
    ) -> None:
        """`short_px`: the pictures' shorter side; `settings`: what else `decode` depends on."""
        self._decode = decode
        self._shelf = cache.shelf(
            "pictures", {"short_px": short_px, **settings, "decoding": decoding_key()}
        )
        needed = num_pictures * 3 * _LONGER * short_px**2
        # Pictures that would push one another out again are not worth writing.
        self._is_keeping = self._shelf.is_on and needed <= _SHARE * cache.limit_bytes

    def __call__(self, data: bytes) -> Pixels:
        """uint8 (H, W, 3). Raises as the decoder does; such pictures are not kept."""
        if not self._shelf.is_on:
            return self._decode(data)
        name = digest_of(data)
        kept = self._shelf.get(name)
        if kept is not None:
            height, width = _SIDES.unpack_from(kept)
            pixels = np.frombuffer(kept, np.uint8, offset=_SIDES.size)
            return pixels.reshape(height, width, 3).copy()
        fresh = self._decode(data)
        if self._is_keeping:
            sides = _SIDES.pack(*fresh.shape[:2])
            self._shelf.put(name, sides, np.ascontiguousarray(fresh).data.cast("B"))
        return fresh

    def finish(self) -> None:
        """Let other processes see the pictures, and keep no more."""
        self._is_keeping = False
        self._shelf.flush()

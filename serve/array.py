"""Arrays in: an application/x-npy body becomes pictures, its header checked before its data."""

import io
import math
from collections.abc import Callable
from tokenize import TokenError
from typing import Any

import numpy as np

from classifier.preprocess import Pixels
from contract.errors import RequestError

_FORMAT: Any = np.lib.format  # numpy ships no types for this module
_READERS: dict[tuple[int, int], Callable[[io.BytesIO], tuple[tuple[int, ...], bool, Any]]] = {
    (1, 0): _FORMAT.read_array_header_1_0,
    (2, 0): _FORMAT.read_array_header_2_0,
}
# What numpy raises for a header that is no literal of Python, or one that is nested too deep.
UNREADABLE = (
    ValueError, KeyError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError,
)  # fmt: skip
EXPECTED = "uint8 pixels of shape (height, width, 3) or (pictures, height, width, 3), R G B"


def read_arrays(body: bytes) -> list[Pixels]:
    """The pictures of one .npy file, each uint8 (height, width, 3).

    The header is read by hand, so that neither a pickle nor a shape of terabytes is ever
    believed. Raises RequestError 400 (no .npy file, cut short) or 422 (another type or shape).
    """
    stream = io.BytesIO(body)
    try:
        version = _FORMAT.read_magic(stream)
        shape, is_fortran, dtype = _READERS[version](stream)
    except UNREADABLE as error:
        raise RequestError(400, f"the body is no .npy file: {_line(error)}") from None
    if dtype != np.uint8:
        raise RequestError(422, f"expected {EXPECTED}, got type {dtype}; no float pixels")
    if len(shape) not in (3, 4) or shape[-1] != 3 or min(shape) < 1:
        raise RequestError(422, f"expected {EXPECTED}, got shape {shape}")
    num_bytes = math.prod(shape)
    if len(body) - stream.tell() != num_bytes:
        raise RequestError(
            400,
            f"the .npy file is cut short or too long: shape {shape} takes {num_bytes:,} bytes, "
            f"got {len(body) - stream.tell():,}",
        )
    flat = np.frombuffer(body, dtype=np.uint8, offset=stream.tell())
    pixels = flat.reshape(shape, order="F" if is_fortran else "C")
    return [pixels] if pixels.ndim == 3 else list(pixels)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

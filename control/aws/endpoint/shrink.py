"""Shrinking: a photograph that is too large for an endpoint, made just as small as it must be."""

import io
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.errors import HostError, ImageError
from contract.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY = 92  # of JPEG; what is lost in it is far below what the network's own scaling loses
MOST_ROUNDS = 12
MARGIN = 0.97  # a little below what the last round says, so that a few rounds do
SMALLEST_PX = 256  # of the longer side: below, the limit is at fault and not the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """The same picture in fewer bytes."""

    data: bytes  # JPEG, RGB, upright
    before: tuple[int, int]  # width and height, upright
    after: tuple[int, int]


def shrink(data: bytes, most_bytes: int) -> Shrunk:
    """Encode the picture again, as large as the limit allows; its shape is kept.

    Raises ImageError: it cannot be decoded. HostError: Pillow is missing.
    """
    image = _decoded(data)
    before = image.size
    scale = 1.0
    for _ in range(MOST_ROUNDS):
        size = (max(1, round(before[0] * scale)), max(1, round(before[1] * scale)))
        encoded = _encoded(image, size)
        if len(encoded) <= most_bytes:
            return Shrunk(data=encoded, before=before, after=size)
        if max(size) <= SMALLEST_PX:
            break
        scale *= MARGIN * math.sqrt(most_bytes / len(encoded))
    raise ImageError(
        f"the picture does not fit into {most_bytes:,} bytes at any size worth sending"
    )


def _decoded(data: bytes) -> "Image":
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        raise HostError("shrinking a picture needs Pillow: type `pip install pillow`") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of huge pictures: check_size has its own limit
            with Image.open(io.BytesIO(data)) as image:
                DEFAULT_LIMITS.check_size(*image.size)
                upright = ImageOps.exif_transpose(image)
                return upright.convert("RGBA" if "transparency" in upright.info else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"too large to be sent, and not a picture that can be shrunk: {error}"
        ) from None


def _encoded(image: "Image", size: tuple[int, int]) -> bytes:
    from PIL.Image import Resampling

    small = image if size == image.size else image.resize(size, Resampling.LANCZOS)
    out = io.BytesIO()
    small.convert("RGB").save(out, "JPEG", quality=QUALITY)
    return out.getvalue()

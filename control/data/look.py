"""Look: what one picture is, read once and decoded as small as will do. Runs in worker processes.

The only file here that decodes pictures, together with the thumbnails of a page. What training
refuses is refused here for the same reasons: no picture, damaged, over a limit.
"""

import hashlib
import os
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, NamedTuple, cast

from contract.bombs import check_scans, check_tiles
from contract.errors import ImageTooLargeError
from contract.limits import DEFAULT_LIMITS
from contract.shards import read_at
from control.data.pictures import Place

if TYPE_CHECKING:
    from PIL import Image

DECODED_PX = 64  # of the shorter side at least: a JPEG is scaled while it is decoded
THUMB_PX = 16
GRADIENTS = 8  # a side; each has two bits, across and down
LEAST_STEP = 2  # of 255: what JPEG's noise makes of an even ground is no gradient
_ORIENTATION = 0x0112
# Formats that training decodes; JPEG includes the MPO of phones.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF", "ICO")
# What Pillow raises for damaged files, format by format.
DECODE_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError),
    *(AttributeError, OverflowError, MemoryError, RuntimeError, struct.error, zlib.error),
)


class Look(NamedTuple):
    """What was seen. Crosses from a worker process."""

    problem: str  # why it cannot be used; empty: it is sound
    sha256: bytes = b""  # of the file; empty: it could not be read
    form: str = ""  # JPEG, PNG, ...
    mode: str = ""  # Pillow's: RGB, L, CMYK, I;16, ...
    width: int = 0  # as stored, before EXIF turns it
    height: int = 0
    turn: int = 1  # EXIF's orientation; 1: upright
    frames: int = 1
    gradients: int = 0  # 2 * GRADIENTS ** 2 bits
    thumb: bytes = b""  # THUMB_PX ** 2 pixels, R G B, upright


def look_at(place: Place) -> Look:
    """Never raises for a picture, whatever is in it."""
    try:
        data = read_place(place)
    except OSError as error:
        return Look(f"cannot be read: {error.strerror}")
    except ImageTooLargeError as error:
        return Look(f"{error}")
    digest = hashlib.sha256(data).digest()
    if not data:
        return Look("is empty", digest)
    from PIL.Image import DecompressionBombError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd tags
            return _decode(data, digest)
    except (ImageTooLargeError, DecompressionBombError) as error:
        return Look(f"{error}", digest)
    except DECODE_ERRORS as error:
        return Look(_reason(data, error), digest)


def read_place(place: Place) -> bytes:
    """The picture's bytes. Raises OSError, ImageTooLargeError."""
    DEFAULT_LIMITS.check_bytes(place.num_bytes)
    handle = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read_at(handle, place.offset, place.num_bytes)
    finally:
        os.close(handle)


def open_picture(data: bytes) -> "Image.Image":
    """Not decoded yet. Raises ImageTooLargeError, and what Pillow raises for damaged files."""
    import io

    from PIL import Image

    Image.init()  # once: `formats` may name no plugin that is not registered
    image = Image.open(io.BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN])
    DEFAULT_LIMITS.check_size(*image.size)
    if "progressive" in image.info:
        check_scans(data)
    if image.format == "JPEG2000":
        check_tiles(data)
    return image


def to_rgb(image: "Image.Image") -> "Image.Image":
    """Eight bits a channel; deep pictures are scaled to what they hold."""
    if image.mode.startswith(("I", "F")):
        deep = image.convert("F")
        low, high = cast(tuple[float, float], deep.getextrema())
        scale = 255 / (high - low) if high > low else 0.0
        image = deep.point(lambda value: value * scale - low * scale).convert("L")
    return image.convert("RGB")


def upright(image: "Image.Image", turn: int) -> "Image.Image":
    """What EXIF's orientation asks for. Source: Exif 2.32, tag 0x0112."""
    from PIL.Image import Transpose

    turns = (
        None,
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    how = turns[turn - 1] if 1 <= turn <= len(turns) else None
    return image if how is None else image.transpose(how)


def _decode(data: bytes, digest: bytes) -> Look:
    from PIL.Image import Resampling

    image = open_picture(data)
    form, mode, (width, height) = str(image.format), image.mode, image.size
    frames = int(getattr(image, "n_frames", 1))
    if frames > DEFAULT_LIMITS.max_frames:
        return Look(f"has {frames:,} frames; the limit is {DEFAULT_LIMITS.max_frames:,}", digest)
    turn = image.getexif().get(_ORIENTATION, 1)
    turn = turn if isinstance(turn, int) and 1 <= turn <= 8 else 1
    image.draft("RGB", (DECODED_PX, DECODED_PX))
    image.load()
    small = to_rgb(image).resize((4 * THUMB_PX, 4 * THUMB_PX), Resampling.BOX)
    small = upright(small, turn)
    return Look(
        "",
        digest,
        form,
        mode,
        width,
        height,
        turn,
        frames,
        _gradients(small),
        small.resize((THUMB_PX, THUMB_PX), Resampling.BOX).tobytes(),
    )


def _gradients(image: "Image.Image") -> int:
    """A bit for each cell of a grid: is it darker than its right, and than its lower neighbour?

    Source: N. Krawetz's dHash, here in both directions and with a least step.
    """
    from PIL.Image import Resampling

    side = GRADIENTS + 1
    grey = image.convert("L").resize((side, side), Resampling.BOX).tobytes()
    bits = 0
    for y in range(GRADIENTS):
        for x in range(GRADIENTS):
            here = grey[y * side + x] + LEAST_STEP
            across, down = grey[y * side + x + 1] > here, grey[(y + 1) * side + x] > here
            bits = bits << 2 | across << 1 | down
    return bits


def _reason(data: bytes, error: BaseException) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        start = data[:4].hex(" ")
        return f"is no picture: it begins with the bytes {start}"
    words = " ".join(str(error).split()) or type(error).__name__
    return f"is damaged: {words[:200]}"

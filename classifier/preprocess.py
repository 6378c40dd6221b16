"""Bytes to pixels: the only picture-reading code in the project, with Pillow and numpy alone.

Training, evaluation, the bundle's probe and the server all come through here, so they cannot
drift apart. Normalisation is not here: it is the network's first layer.
"""

import io
import re
import struct
import warnings
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from contract.bombs import check_scans, check_tiles
from contract.errors import ImageError, ImageTooLargeError
from contract.limits import DEFAULT_LIMITS, Limits
from contract.manifest import Preprocess

Pixels = NDArray[np.uint8]

# Formats that Pillow decodes itself. Absent on purpose: EPS and PDF (they start another
# program), and rare containers nobody photographs with. JPEG includes the MPO of phones.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF", "ICO",
)  # fmt: skip
_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
# What undoes each EXIF orientation. Source: Exif 2.32, tag 0x0112.
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BLOCK_VALUES = 1 << 20  # of a deep picture, scaled at a time: doubles of all of it take gigabytes
# What Pillow raises for damaged files, format by format (its plugins are not consistent).
_DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
# Odd tags in a file are not worth a line on the server's stderr, and sizes are checked here.
_PILLOW = r"PIL\."
_QUIET = ("ignore", None, Warning, re.compile(_PILLOW), 0)


def decode_picture(data: bytes, preprocess: Preprocess, limits: Limits = DEFAULT_LIMITS) -> Pixels:
    """Decode one picture of any supported format and cut the square that the network sees.

    The EXIF orientation is applied; any mode becomes RGB as `Image.convert` does it (alpha is
    dropped), 16-bit and float pictures are scaled, not clipped. Resize and centre crop are one
    resampling step, from a JPEG already scaled down by its DCT where it is much too large.

    Returns:
        uint8, shape (crop_px, crop_px, 3), channel order R G B, C-contiguous.

    Raises:
        ImageError: the bytes are no picture, or a damaged one.
        ImageTooLargeError: over a limit on bytes, pixels or frames.
    """
    image = _open(data, preprocess.resize_px, limits)
    return _cut(image, preprocess)


def decode_resized(data: bytes, short_px: int, limits: Limits = DEFAULT_LIMITS) -> Pixels:
    """Decode one picture whole, its shorter side scaled down to `short_px` (never enlarged).

    What fine-tuning caches: random crops are cut from it. Returns uint8 (height, width, 3);
    raises as `decode_picture`.
    """
    image = _open(data, short_px, limits)
    width, height = image.size
    scale = short_px / min(width, height)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR)
    return _to_array(image)


def fit_array(pixels: Pixels, preprocess: Preprocess) -> Pixels:
    """Resize and crop pixels that are already decoded, exactly as `decode_picture` does.

    Args:
        pixels: uint8, (height, width, 3), R G B.
    """
    side = preprocess.crop_px
    if pixels.shape == (side, side, 3):
        return np.ascontiguousarray(pixels)
    return _cut(Image.fromarray(np.ascontiguousarray(pixels)), preprocess)


def _open(data: bytes, short_px: int, limits: Limits) -> Image.Image:
    """The first frame, upright, in mode RGB, at least `short_px` on its shorter side if it was."""
    limits.check_bytes(len(data))
    Image.init()  # registers all plugins, once; without it `formats` may name unknown ones
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PILLOW)
    try:
        image = Image.open(
            io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN]
        )
    except UnidentifiedImageError:
        raise ImageError(_not_a_picture(data)) from None
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"the picture is too large: {_reason(error)}") from None
    except _DECODE_ERRORS as error:
        raise ImageError(f"the picture cannot be opened: {_reason(error)}") from None
    limits.check_size(*image.size)
    if "progressive" in image.info:
        check_scans(data)
    if image.format == "JPEG2000":
        check_tiles(data)
    try:
        _check_frames(image, limits)
        _shrink_while_decoding(image, short_px)
        return _to_rgb(_upright(image))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # a frame larger than the header says
        raise ImageTooLargeError(f"the picture is too large: {_reason(error)}") from None
    except _DECODE_ERRORS as error:
        raise ImageError(f"the {image.format} picture is damaged: {_reason(error)}") from None


def _check_frames(image: Image.Image, limits: Limits) -> None:
    """Counting frames decodes none of them. Raises ImageTooLargeError."""
    frames = getattr(image, "n_frames", 1)
    if frames > limits.max_frames:
        raise ImageTooLargeError(
            f"the picture has {frames:,} frames; the limit is {limits.max_frames:,}"
        )
    image.seek(0)


def _shrink_while_decoding(image: Image.Image, short_px: int) -> None:
    """Let libjpeg skip detail that the resize would throw away (scales 1/2, 1/4, 1/8)."""
    if image.format in ("JPEG", "MPO"):
        width, height = image.size
        scale = short_px / min(width, height)
        # Never below the size we need; Pillow picks the smallest scale that is large enough.
        image.draft(None, (max(1, int(width * scale) + 1), max(1, int(height * scale) + 1)))


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; a damaged EXIF block counts as none.

    Not ImageOps.exif_transpose: that copies a picture that is upright already.
    """
    image.load()
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except _DECODE_ERRORS:
        return image
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_scale_deep(np.asarray(image)), "L").convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns when it must drop palette transparency
    return image.convert("RGB")


def _scale_deep(values: NDArray[np.generic]) -> Pixels:
    """Grey of more than 8 bits to 8. White is the first of 1 (floats only), 255 and 65535 that no
    value exceeds, or else the largest value; 16-bit files always count to 65535."""
    step = max(1, _BLOCK_VALUES // max(1, values.shape[1]))
    blocks = [values[row : row + step] for row in range(0, len(values), step)]
    if values.dtype.itemsize == 2:
        white = 65535.0
    else:
        ranges = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
        largest = max(float(_finite(block).max()) for block in blocks)
        white = next((bound for bound in ranges if largest <= bound), largest)
    scaled = np.empty(values.shape, np.uint8)
    for index, block in enumerate(blocks):
        rows = slice(index * step, index * step + len(block))
        scaled[rows] = np.clip(np.rint(_finite(block) * (255.0 / white)), 0, 255)
    return scaled


def _finite(values: NDArray[np.generic]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # a signalling NaN is one like any other
        return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)


def _cut(image: Image.Image, preprocess: Preprocess) -> Pixels:
    """Resize the shorter side to resize_px and crop the centre, in one resampling step.

    The box lies where torchvision's Resize and CenterCrop put it (sizes rounded down, offsets
    rounded), so weights trained with that preset see the pixels that they know.
    """
    width, height = image.size
    short, crop = min(width, height), preprocess.crop_px
    resized_width = int(preprocess.resize_px * width / short)
    resized_height = int(preprocess.resize_px * height / short)
    left = round((resized_width - crop) / 2) * width / resized_width
    top = round((resized_height - crop) / 2) * height / resized_height
    square = image.resize(
        (crop, crop),
        _RESAMPLING[preprocess.interpolation],
        box=(left, top, left + crop * width / resized_width, top + crop * height / resized_height),
    )
    return _to_array(square)


def _to_array(image: Image.Image) -> Pixels:
    return np.array(image, dtype=np.uint8)


def _not_a_picture(data: bytes) -> str:
    if not data:
        return "expected a picture, got 0 bytes"
    return (
        f"expected a picture ({', '.join(FORMATS[:6])}, ...), got {len(data):,} bytes "
        f"that start with {data[:8]!r}"
    )


def _reason(error: BaseException) -> str:
    """One ASCII line of a decoder's message."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.encode("ascii", "replace").decode()[:200]

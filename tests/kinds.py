"""Pictures of every kind that people send, made here so that each is exactly known."""

import functools
import io

import numpy as np
from PIL import Image, features

ORIENTATION_TAG = 0x0112
# What a reader does to undo each EXIF orientation. Source: Exif 2.32, tag 0x0112.
UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}


@functools.cache
def scene(width: int = 160, height: int = 120) -> np.ndarray:
    """uint8 (height, width, 3): a disc and bars on a gradient, without any symmetry."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    x, y = x / width, y / height
    pixels = np.stack([200 * x + 30, 220 * y + 20, 120 + 100 * np.sin(5 * x + 3 * y)], axis=2)
    pixels[(x - 0.3) ** 2 + (y - 0.35) ** 2 < 0.03] = (240, 200, 30)
    pixels[(x > 0.6) & (y > 0.55) & (np.floor(x * 20) % 2 == 0)] = (20, 30, 90)
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    """The file that Pillow writes."""
    data = io.BytesIO()
    image.save(data, format=form, **options)
    return data.getvalue()


def rgb(width: int = 160, height: int = 120) -> Image.Image:
    """The scene as a picture."""
    return Image.fromarray(scene(width, height))


def grey() -> np.ndarray:
    """uint8 (120, 160): the scene's luminance."""
    return np.asarray(rgb().convert("L"))


def rotated(orientation: int, form: str = "JPEG") -> bytes:
    """A file whose stored pixels are turned, so that a reader of EXIF sees the scene upright."""
    stored = next(
        turned
        for turned in (undo(scene()) for undo in UPRIGHT.values())
        if np.array_equal(UPRIGHT[orientation](turned), scene())
    )
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    return encode(image, form, exif=exif, **({"quality": 95} if form == "JPEG" else {}))


def _with_alpha(mode: str) -> Image.Image:
    image = rgb().convert(mode)
    image.putalpha(Image.fromarray(np.tile(np.arange(160, dtype=np.uint8), (120, 1))))
    return image


def _animation(form: str) -> bytes:
    frames = [rgb(), Image.new("RGB", (160, 120), "red"), Image.new("RGB", (160, 120), "blue")]
    return encode(frames[0], form, save_all=True, append_images=frames[1:], duration=50)


def _palette(transparent: bool) -> bytes:
    image = rgb().quantize(64)
    return encode(image, "PNG", **({"transparency": 3} if transparent else {}))


KINDS = {
    "jpeg": lambda: encode(rgb(), "JPEG", quality=90),
    "jpeg-progressive": lambda: encode(rgb(), "JPEG", quality=90, progressive=True),
    "jpeg-444": lambda: encode(rgb(), "JPEG", quality=95, subsampling=0),
    "jpeg-cmyk": lambda: encode(rgb().convert("CMYK"), "JPEG", quality=90),
    "jpeg-grey": lambda: encode(rgb().convert("L"), "JPEG", quality=90),
    **{f"jpeg-exif-{turn}": functools.partial(rotated, turn) for turn in UPRIGHT},
    "png": lambda: encode(rgb(), "PNG"),
    "png-grey": lambda: encode(rgb().convert("L"), "PNG"),
    "png-palette": lambda: _palette(False),
    "png-palette-transparent": lambda: _palette(True),
    "png-alpha": lambda: encode(_with_alpha("RGB"), "PNG"),
    "png-grey-alpha": lambda: encode(_with_alpha("L"), "PNG"),
    "png-16-bit": lambda: encode(Image.fromarray(grey().astype(np.uint16) * 257), "PNG"),
    "png-1-bit": lambda: encode(rgb().convert("1"), "PNG"),
    "png-exif-6": lambda: rotated(6, "PNG"),
    "webp": lambda: encode(rgb(), "WEBP", quality=85),
    "webp-alpha": lambda: encode(_with_alpha("RGB"), "WEBP", lossless=True),
    "webp-animated": lambda: _animation("WEBP"),
    "gif": lambda: encode(rgb(), "GIF"),
    "gif-animated": lambda: _animation("GIF"),
    "tiff": lambda: encode(rgb(), "TIFF"),
    "tiff-lzw": lambda: encode(rgb(), "TIFF", compression="tiff_lzw"),
    "tiff-cmyk": lambda: encode(rgb().convert("CMYK"), "TIFF"),
    "tiff-lab": lambda: encode(rgb().convert("LAB"), "TIFF"),
    "tiff-16-bit": lambda: encode(Image.fromarray(grey().astype(np.uint16) * 257), "TIFF"),
    "tiff-32-bit": lambda: encode(Image.fromarray(grey().astype(np.int32) * 257), "TIFF"),
    "tiff-float": lambda: encode(Image.fromarray(grey().astype(np.float32) / 255), "TIFF"),
    "tiff-pages": lambda: _animation("TIFF"),
    "bmp": lambda: encode(rgb(), "BMP"),
    "bmp-palette": lambda: encode(rgb().quantize(16), "BMP"),
    "jpeg2000": lambda: encode(rgb(), "JPEG2000"),
    "ppm": lambda: encode(rgb(), "PPM"),
    "ico": lambda: encode(rgb(64, 64), "ICO", sizes=[(64, 64)]),
    "one-pixel": lambda: encode(Image.new("RGB", (1, 1), (200, 30, 60)), "PNG"),
    "very-wide": lambda: encode(rgb(10000, 1), "PNG"),
    "very-tall": lambda: encode(rgb(1, 10000), "JPEG"),
    "12-megapixels": lambda: encode(rgb().resize((4000, 3000)), "JPEG", quality=85),
}
if features.check("avif"):
    KINDS["avif"] = lambda: encode(rgb(), "AVIF", quality=90)


@functools.cache
def kind(name: str) -> bytes:
    """The bytes of one kind, encoded once."""
    return KINDS[name]()

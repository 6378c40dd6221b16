import contextlib
import io
import re
import struct
import warnings
import zlib

import numpy as np
import pytest
from kinds import KINDS, UPRIGHT, encode, grey, kind, rgb, rotated, scene
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from classifier.preprocess import decode_picture, decode_resized, fit_array
from contract.errors import ImageError, ImageTooLargeError
from contract.limits import Limits
from contract.manifest import Preprocess

SMALL = Preprocess(resize_px=80, crop_px=64)
# Kinds whose mode Pillow converts to RGB in one obvious way: the oracle below needs no more.
PLAIN = sorted(
    set(KINDS)
    - {name for name in KINDS if "exif" in name or "-bit" in name or "float" in name}
    - {"one-pixel", "very-wide", "very-tall", "png-palette-transparent"}
)


def by_torchvision(image: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """What training scripts of the field do, in two steps."""
    steps = [
        v2.Resize(preprocess.resize_px, InterpolationMode(preprocess.interpolation)),
        v2.CenterCrop(preprocess.crop_px),
    ]
    return np.asarray(v2.Compose(steps)(image.convert("RGB")), dtype=float)


def refusal(data: bytes, kind: type[ImageError] = ImageError) -> str:
    """The one line that refuses a picture."""
    with pytest.raises(kind) as caught:
        decode_picture(data, SMALL)
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours.astype(float) - theirs).mean())


@pytest.mark.parametrize("name", PLAIN)
def test_every_kind_is_what_torchvision_makes_of_it(name):
    ours = decode_picture(kind(name), SMALL)
    assert (ours.shape, ours.dtype, ours.flags.c_contiguous) == ((64, 64, 3), np.uint8, True)
    with Image.open(io.BytesIO(kind(name))) as image:
        assert difference(ours, by_torchvision(image, SMALL)) < 1.5


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(160, 120), (120, 160), (333, 80), (81, 80), (40, 30), (64, 64)])
def test_resize_and_crop_in_one_step_lie_where_torchvisions_two_do(size, interpolation):
    preprocess = Preprocess(resize_px=73, crop_px=64, interpolation=interpolation)
    ours = decode_picture(encode(rgb(*size), "PNG"), preprocess)
    # A shift by one pixel would differ by 5 and more on this scene.
    assert difference(ours, by_torchvision(rgb(*size), preprocess)) < 1.2


def test_a_square_picture_without_margin_is_resized_exactly_as_pillow_does():
    image = rgb(128, 128)
    ours = decode_picture(encode(image, "PNG"), Preprocess(resize_px=64, crop_px=64))
    assert np.array_equal(ours, image.resize((64, 64), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_all_eight_exif_orientations_are_upright(orientation):
    upright = decode_picture(encode(rgb(), "PNG"), SMALL)
    assert np.array_equal(decode_picture(rotated(orientation, "PNG"), SMALL), upright)
    assert difference(decode_picture(rotated(orientation, "JPEG"), SMALL), upright) < 2


def test_a_progressive_jpeg_is_its_baseline_twin():
    assert np.array_equal(
        decode_picture(kind("jpeg-progressive"), SMALL), decode_picture(kind("jpeg"), SMALL)
    )


def test_alpha_is_dropped_and_grey_is_repeated():
    plain = decode_picture(kind("png"), SMALL)
    grey_picture = decode_picture(kind("png-grey"), SMALL)
    assert np.array_equal(decode_picture(kind("png-alpha"), SMALL), plain)
    assert np.array_equal(decode_picture(kind("png-grey-alpha"), SMALL), grey_picture)
    assert np.array_equal(grey_picture[..., 0], grey_picture[..., 2])


def test_a_transparent_palette_is_its_colours():
    assert np.array_equal(
        decode_picture(kind("png-palette-transparent"), SMALL),
        decode_picture(kind("png-palette"), SMALL),
    )


@pytest.mark.parametrize("name", ["png-16-bit", "tiff-16-bit", "tiff-32-bit", "tiff-float"])
def test_more_than_8_bits_are_scaled_not_clipped(name):
    expected = decode_picture(encode(Image.fromarray(grey()), "PNG"), SMALL)
    assert np.array_equal(decode_picture(kind(name), SMALL), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100], [200, 255]], np.int32), [[0, 100], [200, 255]]),
        (np.array([[0, 255], [65535, 0]], np.uint16), [[0, 1], [255, 0]]),
        (np.array([[0, 10**6], [2 * 10**6, -5]], np.int32), [[0, 128], [255, 0]]),
        (np.array([[0, 0.5], [1, -1]], np.float32), [[0, 128], [255, 0]]),
        (np.array([[0, 2], [254.6, np.nan]], np.float32), [[0, 2], [255, 0]]),
        (np.array([[0, 65535], [np.inf, -np.inf]], np.float32), [[0, 255], [0, 0]]),
        (np.zeros((2, 2), np.float32), [[0, 0], [0, 0]]),
    ],
)
def test_the_range_of_deep_pictures_follows_their_values(values, expected):
    data = encode(Image.fromarray(values), "TIFF")
    whole = decode_resized(data, 2)
    assert whole[..., 0].tolist() == expected


@pytest.mark.parametrize("name", ["webp-animated", "gif-animated", "tiff-pages"])
def test_of_many_frames_the_first_is_read(name):
    assert difference(decode_picture(kind(name), SMALL), decode_picture(kind("png"), SMALL)) < 4


def test_one_pixel_fills_the_square_with_its_colour():
    assert (decode_picture(kind("one-pixel"), SMALL) == (200, 30, 60)).all()


@pytest.mark.parametrize("name", ["very-wide", "very-tall"])
def test_extreme_shapes_show_their_centre(name):
    got = decode_picture(kind(name), SMALL)
    line = scene(10000, 1)[0] if name == "very-wide" else scene(1, 10000)[:, 0]
    assert difference(got.reshape(-1, 3).mean(axis=0), line[4999:5001].mean(axis=0)) < 12


def test_twelve_megapixels_are_decoded_at_a_fraction_of_their_size():
    whole = decode_resized(kind("12-megapixels"), 80)
    assert whole.shape == (80, 107, 3)
    expected = rgb().resize((107, 80), Image.Resampling.BILINEAR)
    assert difference(whole, np.asarray(expected, float)) < 3


def test_a_whole_picture_is_never_enlarged():
    assert decode_resized(kind("png"), 500).shape == (120, 160, 3)
    assert decode_resized(kind("very-wide"), 80).shape == (1, 10000, 3)


def test_decoded_pixels_fit_as_the_file_does():
    assert np.array_equal(fit_array(scene(), SMALL), decode_picture(kind("png"), SMALL))
    square = np.ascontiguousarray(scene()[:64, :64])
    assert np.array_equal(fit_array(square, SMALL), square)


def test_too_many_bytes_are_refused_before_anything_is_read():
    with pytest.raises(ImageTooLargeError, match="has 69 bytes; the limit is 68"):
        decode_picture(kind("one-pixel"), SMALL, Limits(max_bytes=68))


def test_too_many_pixels_are_refused_before_they_are_decoded():
    with pytest.raises(ImageTooLargeError, match="160 x 120 = 19,200 pixels; the limit is 19,199"):
        decode_picture(kind("png"), SMALL, Limits(max_pixels=19_199))


@pytest.mark.parametrize("name", ["gif-animated", "webp-animated", "tiff-pages"])
def test_too_many_frames_are_refused(name):
    decode_picture(kind(name), SMALL, Limits(max_frames=3))
    with pytest.raises(ImageTooLargeError, match="3 frames; the limit is 2"):
        decode_picture(kind(name), SMALL, Limits(max_frames=2))


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG that claims a size and holds no pixels."""
    chunks = b"\x89PNG\r\n\x1a\n"
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for name, body in ((b"IHDR", size), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body
        chunks += struct.pack(">I", zlib.crc32(name + body))
    return chunks


@pytest.mark.parametrize("side", [8_001, 9_999, 13_000, 20_000, 1 << 30])
def test_a_decompression_bomb_is_too_large_and_no_warning_escapes(side):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = refusal(png_header(side, side), ImageTooLargeError)
    assert caught == []
    assert "pixels" in line


def test_the_operator_may_allow_what_pillow_would_warn_of():
    limits = Limits(max_pixels=200_000_000)
    with pytest.raises(ImageError, match="damaged") as error:
        decode_picture(png_header(10_000, 10_000), SMALL, limits)
    assert not isinstance(error.value, ImageTooLargeError)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a picture, got 0 bytes"),
        (b"hello, world", r"expected a picture \(JPEG, .*\), got 12 bytes that start with b'hello"),
        (b"%PDF-1.4 ...", "expected a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "expected a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "expected a picture"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_clear_line(data, message):
    assert re.match(message, refusal(data))


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"one-pixel", "12-megapixels"}))
def test_cut_or_altered_pictures_are_refused_or_read_but_never_break(name):
    """Warnings are errors here, so none of Pillow's escapes either."""
    whole, draw = kind(name), np.random.default_rng(0)
    refusal(whole[: min(40, len(whole) // 4)])
    for turn in range(12):
        data = bytearray(whole)
        if turn % 2:
            del data[draw.integers(1, len(data)) :]
        else:
            data[draw.integers(0, min(len(data), 400))] ^= int(draw.integers(1, 256))
        with contextlib.suppress(ImageError):
            assert decode_picture(bytes(data), SMALL).shape == (64, 64, 3)

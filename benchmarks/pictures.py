"""Pictures: JPEGs of 500 x 375 and about 35 KB that cost a decoder what a photograph does."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH_PX, HEIGHT_PX = 500, 375
QUALITY = 82
# Photographs have about as much detail at every scale: amplitude falls with frequency. With this
# exponent and quality a picture has 32 to 40 KB.
FALL = 1.5
TINT = 40.0


def make_picture(seed: int, label: int, num_labels: int) -> bytes:
    """One JPEG: detail at every scale, in colours that belong to `label`."""
    generator = np.random.default_rng([seed, label])
    shared = _texture(generator)
    hue = 2 * np.pi * label / num_labels
    planes = [
        128 + TINT * np.cos(hue - angle) + 50 * (0.85 * shared + 0.3 * _texture(generator))
        for angle in (0, 2 * np.pi / 3, 4 * np.pi / 3)
    ]
    buffer = io.BytesIO()
    pixels = np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()


def _texture(generator: np.random.Generator) -> NDArray[np.float64]:
    """Noise of mean 0 and deviation 1 whose spectrum falls as a photograph's."""
    rows = np.fft.fftfreq(HEIGHT_PX)[:, None]
    columns = np.fft.rfftfreq(WIDTH_PX)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1.0
    noise = np.fft.rfft2(generator.normal(size=(HEIGHT_PX, WIDTH_PX))) / frequency**FALL
    plane: NDArray[np.float64] = np.fft.irfft2(noise, (HEIGHT_PX, WIDTH_PX))
    plane -= plane.mean()
    plane /= plane.std()
    return plane


def write_channel(folder: Path, labels: tuple[str, ...], most: int, *, seed: int) -> None:
    """A channel of class folders: one picture of each of the first `most` labels."""
    for index, label in enumerate(labels[:most]):
        (folder / label).mkdir(parents=True, exist_ok=True)
        picture = make_picture(seed, index, len(labels))
        (folder / label / f"{seed}.jpg").write_bytes(picture)


def read_pictures(folder: Path, most: int) -> list[bytes]:
    """The first `most` JPEGs below `folder`, in the order of their names, spread over it."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        raise SystemExit(f"{folder} holds no .jpg")
    step = max(1, len(paths) // most)
    return [path.read_bytes() for path in paths[::step][:most]]

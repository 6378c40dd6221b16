"""Many: small JPEGs in ten classes, as many as wanted, a thousand a second.

`python -m benchmarks.many FOLDER COUNT`. Each picture is one of a few templates of its class with
noise of its own, so that hardly two are equal and a network can learn them.
"""

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.terminal import say

CLASSES, TEMPLATES = 10, 20  # templates of each class
WIDTH_PX, HEIGHT_PX = 128, 96
NOISE = 24
QUALITY = 80


def write_many(folder: Path, count: int, seed: int = 0) -> Path:
    """Class folders below `folder`; what is there already stays, so it can be enlarged."""
    for index in range(CLASSES):
        (folder / f"class{index}").mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(many_pictures(count, seed)):
        path = folder / f"class{number % CLASSES}" / f"{number:06}.jpg"
        if not path.exists():
            path.write_bytes(data)
    return folder


def many_pictures(count: int, seed: int = 0) -> Iterator[bytes]:
    """JPEGs of about 5 KB; picture i belongs to class i modulo CLASSES."""
    generator = np.random.default_rng(seed)
    templates = [[_template(index, each) for each in range(TEMPLATES)] for index in range(CLASSES)]
    # One large field of noise: each picture gets another part of it.
    field = generator.integers(-NOISE, NOISE, (2 * HEIGHT_PX, 2 * WIDTH_PX, 1), dtype=np.int16)
    for number in range(count):
        y, x = generator.integers(0, HEIGHT_PX), generator.integers(0, WIDTH_PX)
        template = templates[number % CLASSES][number // CLASSES % TEMPLATES]
        pixels = template + field[y : y + HEIGHT_PX, x : x + WIDTH_PX]
        buffer = io.BytesIO()
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        image.save(buffer, "JPEG", quality=QUALITY)
        yield buffer.getvalue()


def _template(index: int, each: int) -> NDArray[np.int16]:
    """Stripes of a direction and colour that belong to the class, of any phase and width."""
    generator = np.random.default_rng([index, each])
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    angle, width = np.pi * index / CLASSES, generator.uniform(8, 16)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / width + generator.uniform(0, 6))
    colour = 128 + 60 * np.cos(2 * np.pi * index / CLASSES - np.array([0, 2, 4]))
    pixels: NDArray[np.int16] = (colour + 50 * wave[..., None]).astype(np.int16)
    return pixels


if __name__ == "__main__":
    target, wanted = Path(sys.argv[1]), int(sys.argv[2])
    started = time.perf_counter()
    write_many(target, wanted)
    say(f"{wanted:,} pictures in {time.perf_counter() - started:.1f} s")

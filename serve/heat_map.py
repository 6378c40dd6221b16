"""HeatMap: a coarse map of importance drawn as a PNG, over the picture or alone."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.preprocess import Pixels

# From nothing to most: dark violet, magenta, orange, pale yellow. Each step is lighter than the
# one before, so that it also reads in grey and to colour-blind eyes.
COLOURS = np.array([(30, 10, 60), (140, 30, 110), (235, 95, 50), (255, 235, 150)], np.float32)
# How much of the colour covers the picture, where nothing and where most spoke for the label.
COVER = (0.3, 0.65)
# How much of the picture's own colour is taken out: brown fur must not look like importance.
FADING = 0.8
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def draw_overlay(pixels_HWC: Pixels, heat: NDArray[np.float32]) -> bytes:
    """A PNG of the picture as the network saw it, coloured where it spoke for the label."""
    level = _fit(heat, pixels_HWC.shape[0], pixels_HWC.shape[1])[..., None]
    steps = np.linspace(0, 1, len(COLOURS))
    colour = np.stack(
        [np.interp(level[..., 0], steps, COLOURS[:, plane]) for plane in range(3)], axis=-1
    )
    cover = COVER[0] + (COVER[1] - COVER[0]) * level
    blended = _faded(pixels_HWC) * (1 - cover) + colour * cover
    return _png(blended.round().astype(np.uint8))


def draw_map(pixels_HWC: Pixels, heat: NDArray[np.float32]) -> bytes:
    """A grey PNG of the picture's size: 255 where most spoke for the label."""
    level = _fit(heat, pixels_HWC.shape[0], pixels_HWC.shape[1])
    return _png((255 * level).round().astype(np.uint8))


def _faded(pixels_HWC: Pixels) -> NDArray[np.float32]:
    grey = (pixels_HWC @ LUMA)[..., None]
    return np.asarray(grey * FADING + pixels_HWC * (1 - FADING), dtype=np.float32)


def _fit(heat: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The map from 0 to 1 and of the picture's size; all 0 where nothing spoke for the label."""
    most = float(heat.max())
    scaled = heat / most if most > 0 else heat
    fitted = Image.fromarray(scaled.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return np.clip(np.asarray(fitted, dtype=np.float32), 0, 1)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG")
    return data.getvalue()

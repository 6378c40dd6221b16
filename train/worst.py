"""Worst: the pictures whose own label got the least probability, as a grid and as thumbnails."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from classifier.preprocess import decode_picture
from contract.errors import DataError, ImageError
from contract.manifest import Preprocess
from contract.theme import LIGHT, Theme
from train.data import Picture
from train.fonts import fit_text, load_font
from train.run_report import Evaluation

TILE_PX = 200
THUMBNAIL_PX = 160
_COLUMNS = 6
_GAP_PX = 16
_CAPTION_PX = 58
_JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorstPicture:
    """One picture and how wrong the network was about it."""

    path: str
    true: str
    predicted: str
    true_probability: float
    predicted_probability: float
    pixels: NDArray[np.uint8] | None  # (TILE_PX, TILE_PX, 3); None when it cannot be opened

    @property
    def is_right(self) -> bool:
        """The network got it after all; it was only unsure."""
        return self.true == self.predicted


def find_worst(evaluation: Evaluation, labels: Sequence[str], limit: int) -> list[WorstPicture]:
    """The `limit` pictures of highest loss, the highest first."""
    every = np.arange(len(evaluation.pictures))
    own = evaluation.probabilities[every, evaluation.targets]
    predicted = evaluation.predicted
    return [
        WorstPicture(
            path=str(evaluation.pictures[i].path),
            true=labels[evaluation.targets[i]],
            predicted=labels[predicted[i]],
            true_probability=float(own[i]),
            predicted_probability=float(evaluation.probabilities[i, predicted[i]]),
            pixels=_read_pixels(evaluation.pictures[i]),
        )
        for i in np.argsort(own, kind="stable")[:limit]
    ]


def draw_worst(pictures: Sequence[WorstPicture], theme: Theme = LIGHT) -> bytes:
    """PNG: a grid of tiles, each with its true label, the predicted one and its probability."""
    columns = max(1, min(_COLUMNS, len(pictures)))
    lines = max(1, -(-len(pictures) // columns))
    step_x, step_y = TILE_PX + _GAP_PX, TILE_PX + _CAPTION_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * step_x + _GAP_PX, lines * step_y + _GAP_PX), theme.surface)
    draw = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        left = _GAP_PX + number % columns * step_x
        top = _GAP_PX + number // columns * step_y
        _draw_tile(sheet, picture, (left, top), theme)
        _draw_caption(draw, picture, (left, top + TILE_PX + 8), theme)
    if not pictures:
        draw.text((_GAP_PX, _GAP_PX), "no pictures", fill=theme.muted, font=load_font(14))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=1)  # of photographs more gains next to nothing
    return buffer.getvalue()


def to_thumbnail(picture: WorstPicture) -> bytes | None:
    """JPEG bytes, at most THUMBNAIL_PX a side; None when the picture cannot be opened."""
    if picture.pixels is None:
        return None
    image = Image.fromarray(picture.pixels)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def _read_pixels(picture: Picture) -> NDArray[np.uint8] | None:
    """The centre square, as the network sees it. A lost picture must not cost the report."""
    try:
        data = picture.read_bytes()
    except (OSError, DataError):
        return None
    try:
        return decode_picture(data, Preprocess(resize_px=TILE_PX, crop_px=TILE_PX))
    except ImageError:
        return None


def _draw_tile(
    sheet: Image.Image, picture: WorstPicture, corner: tuple[int, int], theme: Theme
) -> None:
    if picture.pixels is not None:
        sheet.paste(Image.fromarray(picture.pixels), corner)
        return
    sheet.paste(theme.raised, (*corner, corner[0] + TILE_PX, corner[1] + TILE_PX))
    middle = (corner[0] + TILE_PX // 2, corner[1] + TILE_PX // 2)
    draw = ImageDraw.Draw(sheet)
    draw.text(middle, "cannot be opened", fill=theme.muted, font=load_font(13), anchor="mm")


def _draw_caption(
    draw: ImageDraw.ImageDraw, picture: WorstPicture, corner: tuple[int, int], theme: Theme
) -> None:
    left, top = corner
    name_font, said_font = load_font(13, bold=True), load_font(13)
    draw.text((left, top), fit_text(picture.true, name_font, TILE_PX), theme.text, name_font)
    said = fit_text(f"{picture.predicted_probability:.0%} {picture.predicted}", said_font, TILE_PX)
    colour = theme.muted if picture.is_right else theme.train
    draw.text((left, top + 20), said, colour, said_font)

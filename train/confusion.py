"""The confusion matrix: counted, searched for its largest mistakes, and drawn."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from contract.theme import Theme
from train.fonts import Font, fit_text, load_font

Matrix = NDArray[np.int64]  # (K, K): rows are true labels, columns predicted ones

_NUMBERS_UP_TO = 20  # classes; above, a cell is too small for a count
_NAMES_UP_TO = 200  # classes; above, a name would be too small to read
_MAX_SIDE_PX = 1500
_LONGEST_NAME = 15  # in font sizes; about 28 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusedPair:
    """One off-diagonal cell."""

    true: int  # class index
    predicted: int  # class index
    count: int
    share: float  # of the true label's pictures


def count_confusion(targets: NDArray[np.int64], predicted: NDArray[np.int64], num: int) -> Matrix:
    """(num, num) counts; rows true, columns predicted."""
    flat = np.bincount(targets * num + predicted, minlength=num * num)
    return flat.reshape(num, num).astype(np.int64)


def most_confused(matrix: Matrix, limit: int) -> list[ConfusedPair]:
    """The largest mistakes: by count, then by share, then in label order."""
    support = matrix.sum(axis=1)
    rows, columns = np.nonzero(matrix)
    pairs = [
        ConfusedPair(
            true=int(row),
            predicted=int(column),
            count=int(matrix[row, column]),
            share=float(matrix[row, column] / support[row]),
        )
        for row, column in zip(rows, columns, strict=True)
        if row != column
    ]
    return sorted(pairs, key=lambda pair: (-pair.count, -pair.share))[:limit]


def draw_confusion(matrix: Matrix, labels: Sequence[str], theme: Theme) -> bytes:
    """PNG of a heat map: each row's shares, with counts in the cells while they fit.

    Drawn by Pillow: the names of a hundred classes take matplotlib many seconds.
    """
    plan = _plan(labels)
    sheet = Image.new("RGB", (plan.left + plan.side + plan.right, plan.side + plan.below))
    sheet.paste(theme.surface, (0, 0, *sheet.size))
    sheet.paste(_heat_map(matrix, plan.side, theme), (plan.left, plan.top))
    draw = ImageDraw.Draw(sheet)
    _draw_grid(draw, len(labels), plan, theme)
    _draw_names(sheet, plan, theme)
    if len(labels) <= _NUMBERS_UP_TO:
        _draw_counts(draw, matrix, plan, theme)
    _draw_scale(sheet, plan, theme)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", dpi=(72 * plan.scale, 72 * plan.scale))
    return buffer.getvalue()


def confusion_scale(num_classes: int) -> int:
    """Pixels drawn for each pixel that the map is meant to be shown with."""
    return 2 if num_classes <= _NUMBERS_UP_TO else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Where things go, in pixels."""

    scale: int  # 2: twice the pixels, for sharp text
    cell: float
    side: int  # of the map
    top: int
    left: int
    right: int  # beside the map: the colour scale
    below: int  # top margin and what stands under the map
    font: Font
    names: tuple[str, ...]
    is_flat: bool  # the names under the map need no turning


def _plan(labels: Sequence[str]) -> _Plan:
    """2 classes: large squares. 10: comfortable. 133: just enough for a readable name."""
    num = len(labels)
    scale = confusion_scale(num)
    if num <= _NUMBERS_UP_TO:
        cell: float = scale * max(46, min(150, 480 // num))
        font = load_font(13 * scale)
    elif num <= _NAMES_UP_TO:
        cell = max(15, 1300 // num)
        font = load_font(int(min(18, cell * 0.8)))
    else:
        cell = max(1, 1500 // num) if num <= _MAX_SIDE_PX else _MAX_SIDE_PX / num
        font = load_font(14)
    names: tuple[str, ...] = ()
    if num <= _NAMES_UP_TO:
        names = tuple(fit_text(label, font, _LONGEST_NAME * font.size) for label in labels)
    longest = int(max((font.getlength(name) for name in names), default=0))
    is_flat = longest < cell * 0.9
    height = int(font.size * 1.4) if is_flat else longest
    return _Plan(
        scale=scale,
        cell=cell,
        side=round(cell * num),
        top=24 * scale,
        left=longest + 56 * scale,
        right=110 * scale,
        below=24 * scale + height + 56 * scale,
        font=font,
        names=names,
        is_flat=is_flat,
    )


def _colours(shares: NDArray[np.float64], theme: Theme) -> NDArray[np.uint8]:
    """Shares 0 to 1 as heat; NaN, a class without pictures, as the theme's raised colour."""
    stops = np.array([ImageColor.getrgb(colour) for colour in theme.heat], dtype=float)
    places = np.linspace(0, 1, len(stops))
    # Below 1, small shares stand out: it is the mistakes that one looks for.
    heat = np.nan_to_num(shares) ** 0.7
    rgb = np.stack([np.interp(heat, places, stops[:, i]) for i in range(3)], axis=-1)
    rgb[np.isnan(shares)] = ImageColor.getrgb(theme.raised)
    return rgb.round().astype(np.uint8)


def _row_shares(matrix: Matrix) -> NDArray[np.float64]:
    support = matrix.sum(axis=1, keepdims=True)
    return np.where(support > 0, matrix / np.maximum(support, 1), np.nan)


def _heat_map(matrix: Matrix, side: int, theme: Theme) -> Image.Image:
    image = Image.fromarray(_colours(_row_shares(matrix), theme))
    # Thousands of classes: a pixel holds several cells and shows their mean.
    method = Image.Resampling.NEAREST if side >= len(matrix) else Image.Resampling.BOX
    return image.resize((side, side), method)


def _draw_grid(draw: ImageDraw.ImageDraw, num: int, plan: _Plan, theme: Theme) -> None:
    if num <= _NUMBERS_UP_TO:
        edges = list(range(num + 1))
    else:
        edges = [*range(0, num, 10), num] if num <= _NAMES_UP_TO else [0, num]
    for edge in edges:
        place = round(edge * plan.cell)
        x, y = plan.left + place, plan.top + place
        draw.line((x, plan.top, x, plan.top + plan.side), theme.line, plan.scale)
        draw.line((plan.left, y, plan.left + plan.side, y), theme.line, plan.scale)


def _draw_names(sheet: Image.Image, plan: _Plan, theme: Theme) -> None:
    draw = ImageDraw.Draw(sheet)
    gap, bottom = 8 * plan.scale, plan.top + plan.side
    for i, name in enumerate(plan.names):
        middle = (i + 0.5) * plan.cell
        draw.text((plan.left - gap, plan.top + middle), name, theme.text, plan.font, "rm")
        if plan.is_flat:
            draw.text((plan.left + middle, bottom + gap), name, theme.text, plan.font, "ma")
        else:
            _draw_turned(sheet, name, (plan.left + middle, bottom + gap), plan.font, theme.text)
    title = load_font(14 * plan.scale)
    centre = plan.left + plan.side / 2
    draw.text((centre, sheet.height - 10 * plan.scale), "predicted", theme.muted, title, "md")
    middle = plan.top + plan.side / 2 - title.getlength("true") / 2
    _draw_turned(sheet, "true", (20 * plan.scale, middle), title, theme.muted)


def _draw_turned(
    sheet: Image.Image, text: str, top_centre: tuple[float, float], font: Font, colour: str
) -> None:
    """Text that reads upwards and ends at `top_centre`."""
    ascent, descent = font.getmetrics()
    mask = Image.new("L", (int(font.getlength(text)) + 2, ascent + descent))
    ImageDraw.Draw(mask).text((0, 0), text, 255, font)
    turned = mask.transpose(Image.Transpose.ROTATE_90)
    corner = (round(top_centre[0] - turned.width / 2), round(top_centre[1]))
    sheet.paste(colour, (*corner, corner[0] + turned.width, corner[1] + turned.height), turned)


def _draw_counts(draw: ImageDraw.ImageDraw, matrix: Matrix, plan: _Plan, theme: Theme) -> None:
    """Counts in the cells; in large cells also the share of the row."""
    shares = _row_shares(matrix)
    colours = _colours(shares, theme)
    is_large = plan.cell >= 100 * plan.scale
    widest = max(len(f"{matrix.max():,}"), 2)
    size = 26 * plan.scale if is_large else int(min(15 * plan.scale, plan.cell * 1.3 / widest))
    for (row, column), count in np.ndenumerate(matrix):
        if not count and row != column:
            continue
        x, y = plan.left + (column + 0.5) * plan.cell, plan.top + (row + 0.5) * plan.cell
        ink = _readable_on(colours[row, column], theme)
        lift = 10 * plan.scale if is_large else 0
        draw.text((x, y - lift), f"{count:,}", ink, load_font(size), "mm")
        if is_large and not np.isnan(shares[row, column]):
            small = load_font(13 * plan.scale)
            draw.text((x, y + 2 * lift), f"{shares[row, column]:.1%}", ink, small, "mm")


def _readable_on(colour: NDArray[np.uint8], theme: Theme) -> str:
    """Whichever of the theme's surface and text differs more in brightness."""
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    brightness = float(weights @ colour)
    return max(
        (theme.text, theme.surface),
        key=lambda ink: abs(float(weights @ ImageColor.getrgb(ink)) - brightness),
    )


def _draw_scale(sheet: Image.Image, plan: _Plan, theme: Theme) -> None:
    """A slim colour bar beside the map."""
    draw, scale, font = ImageDraw.Draw(sheet), plan.scale, load_font(11 * plan.scale)
    width, height = 14 * scale, min(plan.side - 24 * scale, 200 * scale)
    left, top = plan.left + plan.side + 24 * scale, plan.top + 24 * scale
    column = _colours(np.linspace(1, 0, height)[:, None], theme)
    sheet.paste(Image.fromarray(np.repeat(column, width, axis=1)), (left, top))
    draw.rectangle((left, top, left + width, top + height), outline=theme.line)
    draw.text((left, plan.top), "of the row", theme.muted, font, "la")
    for share in (0, 0.25, 0.5, 0.75, 1):
        place = (left + width + 6 * scale, top + height * (1 - share))
        draw.text(place, f"{share:.0%}", theme.muted, font, "lm")

"""Fonts: lettering for the figures that Pillow draws. The file is one that matplotlib ships."""

from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont


@lru_cache(maxsize=16)
def load_font(size_px: int, *, bold: bool = False) -> Font:
    """DejaVu Sans: Latin with all accents, Greek and Cyrillic; other scripts show as boxes."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size_px)


def fit_text(text: str, font: Font, width_px: float) -> str:
    """`text` on one line, cut with three dots where it is wider than `width_px`."""
    text = " ".join(text.split())
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "...") > width_px:
        text = text[:-1]
    return text + "..."

"""Theme: the colours that a page and its figures share, for light and dark screens."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Colours as #rrggbb. Text keeps a contrast of at least 4.5 on both surfaces."""

    surface: str  # behind text and figures
    raised: str  # tiles, table headers, empty cells
    line: str  # grid lines and borders
    text: str
    muted: str  # secondary text
    train: str  # the series of the train split
    validation: str  # ... of validation; also links and the full end of the heat map
    heat: tuple[str, ...]  # from 0 to 1


LIGHT = Theme(
    surface="#ffffff",
    raised="#f4f4f1",
    line="#deddd8",
    text="#1c1c1a",
    muted="#65645f",
    train="#c2570c",
    validation="#1f6fd0",
    heat=("#ffffff", "#cfe2f8", "#7fb2ea", "#2f7bd3", "#0e3f80"),
)
DARK = Theme(
    surface="#191918",
    raised="#252523",
    line="#3b3b38",
    text="#f0efeb",
    muted="#a3a29b",
    train="#f0955a",
    validation="#6aaef7",
    heat=("#191918", "#1d3350", "#245c99", "#4f9be8", "#cfe5ff"),
)

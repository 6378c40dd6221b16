"""Drawing: figures by matplotlib as a part of the page, with text that can be read and searched."""

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from contract.page import to_text
from debugger.report.ink import INKS, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]  # left, bottom, width, height
WIDE, HALF = 1032, 504  # pixels: the page's whole width, and half of it less the gap
_SETTINGS = {
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "text.parse_math": False,  # a name may hold dollars
    "font.size": 12,
    "path.simplify_threshold": 0.2,
}
_NAMES = {pair[0]: name for name, pair in INKS.items()}
_PT = 72  # units of an SVG to the inch: so that one unit is one pixel


def draw_figure(
    draw: Callable[["Figure"], None], alt: str, *, width: float = WIDE, height: float = 260
) -> str:
    """Markup of what `draw` puts on an empty figure of so many pixels.

    `alt` says what is seen, for those who do not see it; it may hold anybody's text.
    """
    # Not pyplot: that keeps figures and settings for the whole process.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # A figure's own salt: names of two figures must not meet on one page.
    salt = hashlib.sha256(f"{alt} {width} {height}".encode("utf-8", "replace")).hexdigest()
    buffer = io.BytesIO()
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": salt}), warnings.catch_warnings():
        # The browser has letters for other scripts; here they only need some width.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(width / _PT, height / _PT), dpi=_PT, facecolor="none")
        canvas = FigureCanvasSVG(figure)
        draw(figure)
        canvas.print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _to_markup(buffer.getvalue().decode("utf-8"), alt, width)


def _to_markup(svg: str, alt: str, width: float) -> str:
    """Only the drawing, with the page's colours and fonts, and no more digits than are seen."""
    body = re.search(r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>(.*)</svg>", svg, re.DOTALL)
    assert body is not None
    view, inner = body.groups()
    inner = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", inner, count=1, flags=re.DOTALL)
    inner = re.sub(r"(<g) id=\"[^\"]*\"", r"\1", inner)  # of groups; nothing points at them
    inner = re.sub(r" ?font-family: [^;\"]*;?", "", inner)
    inner = re.sub(r" transform=\"rotate\(-0 [^\"]*\"", "", inner)
    inner = re.sub(r"(\.\d)\d+(?=[\s\",])", r"\1", inner)
    inner = re.sub(r"#[0-9a-f]{6}\b", _variable, inner)
    inner = re.sub(r"\s*\n\s*", " ", inner)
    return (
        f'<figure><svg role="img" aria-label="{to_text(alt)}" {view} width="{width:g}">'
        f"{inner}</svg></figure>"
    )


def _variable(match: re.Match[str]) -> str:
    name = _NAMES.get(match.group())
    return f"var(--{name})" if name else match.group()


def style_axes(axes: "Axes", *, grid: Literal["x", "y", "both", ""] = "y") -> None:
    """The look of all our figures: no frame, quiet ticks, thin grid lines behind the data."""
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(which="both", colors=ink("muted"), labelsize=12, length=0, pad=6)
    axes.xaxis.label.set_color(ink("muted"))
    axes.yaxis.label.set_color(ink("muted"))
    if grid:
        axes.grid(axis=grid, color=ink("line"), linewidth=0.8)
    axes.set_axisbelow(True)


def title_axes(axes: "Axes", text: str, pad: float = 10) -> None:
    """The panel's title, at its upper left."""
    axes.set_title(
        text,
        loc="left",
        color=ink("text"),
        fontsize=13,
        fontweight="bold",
        pad=pad,
        parse_math=False,
    )


def add_axes(figure: "Figure", left: float, top: float, right: float, bottom: float) -> "Axes":
    """A panel that leaves so many pixels free at each side of the figure."""
    width, height = figure.get_size_inches() * _PT
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    axes: Axes = figure.add_axes(box)
    return axes


def add_boxes(axes: "Axes", boxes: Sequence[Box], colour: str, gap: float = 0.6) -> None:
    """Rectangles as one shape: hundreds of them cost what one costs, in time and in bytes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    if not boxes:
        return
    corners = [
        corner
        for x, y, w, h in boxes
        for corner in ((x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y))
    ]
    codes = [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY] * len(boxes)
    axes.add_patch(
        PathPatch(
            Outline(corners, codes),
            facecolor=ink(colour),
            edgecolor=ink("surface"),
            linewidth=gap,
        )
    )


def add_histogram(
    axes: "Axes", edges: Sequence[float], counts: Sequence[float], colour: str
) -> None:
    """Bars from one edge to the next; empty ones are left out. The vertical axis begins at 0."""
    boxes = [
        (left, 0.0, right - left, count)
        for left, right, count in zip(edges, edges[1:], counts, strict=False)
        if count
    ]
    add_boxes(axes, boxes, colour)
    axes.set_ylim(0, max(counts, default=0) * 1.05 or 1)


def percent_axis(axes: "Axes") -> None:
    """A vertical axis from 0 to 100 percent."""
    axes.set_ylim(0, 102)
    axes.set_yticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])


def time_axis(axes: "Axes", seconds: float) -> None:
    """A horizontal axis over a job of so many seconds, with round marks."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((one for one in steps if seconds / one <= 10), 7 * 86400)
    marks = [float(mark) for mark in range(0, int(seconds) + 1, step)]
    axes.set_xlim(0, max(seconds, 1e-3))
    axes.set_xticks(marks, [to_clock(mark, step) if mark else "0" for mark in marks])
    if marks[-1] > 0.96 * seconds and len(marks) > 1:  # it would be cut off at the edge
        axes.get_xticklabels()[-1].set_horizontalalignment("right")


def to_clock(seconds: float, step: float = 1) -> str:
    """`40 s`, `3 min`, `3:30`, `2 h`, `2:05 h`: as coarse as marks of `step` seconds allow."""
    if seconds < 60 and step < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        whole = f"{seconds / 60:.0f} min"
        return whole if step >= 60 else f"{int(seconds // 60)}:{int(seconds % 60):02}"
    minutes = int(seconds % 3600 // 60)
    return f"{int(seconds // 3600)}:{minutes:02} h" if minutes else f"{seconds // 3600:.0f} h"

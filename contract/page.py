"""The parts that every page of ours is made of: frame, sections, figures, escaped text.

For the pages of `train` (a run, a study) and of `debugger` (a profile, a job).
"""

import base64
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape

from contract.page_style import SCRIPT, build_style
from contract.theme import DARK, LIGHT, Theme

_MAX_TEXT = 300  # characters of one cell
_FIGURE = (
    '<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    '<img alt="{alt}" width="{width}" src="{light}"></picture></figure>'
)
# Nothing may be loaded from anywhere, should a label ever hold markup that slips through.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure, what it is, and what to make of it."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One PNG drawn twice, for light and for dark screens."""

    light: bytes
    dark: bytes
    scale: float  # pixels drawn for each pixel shown


def draw_twice(draw: Callable[[Theme], bytes], scale: float) -> Drawing:
    """What `draw` makes of both themes."""
    return Drawing(light=draw(LIGHT), dark=draw(DARK), scale=scale)


def to_page(title: str, body: str, style: str = "") -> str:
    """A whole page. `body` and `style` are ours; the title may be anybody's."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{to_text(title)}</title><style>{build_style()}{style}</style></head>\n"
        f"<body><main>{body}</main><script>{SCRIPT}</script></body></html>\n"
    )


def to_header(title: str, facts: Iterable[str], tiles: Iterable[Tile], story: str = "") -> str:
    """Title, one line of facts, the `story` (markup), and the tiles."""
    line = " &middot; ".join(to_text(value) for value in facts)
    cells = "".join(
        f'<div class="tile"><span class="name">{to_text(tile.name)}</span>'
        f"<b>{to_text(tile.value)}</b><span>{to_text(tile.note)}</span></div>"
        for tile in tiles
    )
    return (
        f'<h1>{to_text(title)}</h1><p class="muted">{line}</p>{story}'
        f'<div class="tiles">{cells}</div>'
    )


def to_section(heading: str, body: str, anchor: str = "") -> str:
    """A heading and what stands under it; `#anchor` leads there."""
    place = f' id="{anchor}"' if anchor else ""
    return f"<section{place}><h2>{heading}</h2>{body}</section>\n"


def to_figure(drawing: Drawing, alt: str) -> str:
    """The picture that fits the screen, in the size that it was drawn for."""
    width = struct.unpack(">I", drawing.light[16:20])[0] / drawing.scale  # IHDR
    dark, light = to_data_uri(drawing.dark, "png"), to_data_uri(drawing.light, "png")
    return _FIGURE.format(dark=dark, alt=alt, width=f"{width:.0f}", light=light)


def find_figure(page: str, alt: str) -> str | None:
    """The figure of another page of ours that has this `alt`; None when there is none."""
    data = r"data:image/png;base64,[A-Za-z0-9+/=]+"
    parts = re.escape(_FIGURE).replace(r"\{", "{").replace(r"\}", "}")
    found = re.search(parts.format(dark=data, alt=re.escape(alt), width=r"\d+", light=data), page)
    return found.group() if found else None


def to_pairs(heading: str, pairs: Mapping[str, str]) -> str:
    """A table of names and values; nothing when there are none."""
    rows = "".join(
        f"<tr><th>{to_text(name)}</th><td>{to_text(value) or '&ndash;'}</td></tr>"
        for name, value in pairs.items()
    )
    head = f"<thead><tr><th>{heading}</th><th>value</th></tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>' if rows else ""


def to_data_uri(data: bytes, kind: str) -> str:
    """An address that holds the picture itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def to_text(value: str) -> str:
    """Escaped, bounded, and encodable: file names may hold bytes that are not UTF-8."""
    plain = value.encode("utf-8", "replace").decode("utf-8")
    return escape(plain if len(plain) <= _MAX_TEXT else plain[: _MAX_TEXT - 3] + "...")

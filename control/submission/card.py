"""Card: a picture of one thing in AWS or here, drawn from what its description said.

It is no screenshot and must not pass for one: it says so itself, and looks like nothing of AWS's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape

WIDTH, LINE, PAD = 760, 26, 24  # pixels
MOST_SIGNS = 84  # of a value; the rest is cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A title, facts, and where the same can be seen in AWS's own words."""

    title: str
    facts: Mapping[str, str]
    source: str  # what it was made from: the API's name, or a file
    link: str = ""  # of the console


def draw_card(card: Card, made_at: datetime) -> str:
    """The card as an SVG file."""
    day = made_at.strftime("%Y-%m-%d %H:%M UTC")
    facts = [(name, _cut(value)) for name, value in card.facts.items() if value]
    height = 2 * PAD + LINE * (len(facts) + 3 + bool(card.link))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="Georgia, serif" font-size="15">',
        f"<title>{escape(card.title)}</title>",
        f'<rect x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="2" fill="#fbf8f1" '
        'stroke="#8a7f66" stroke-dasharray="6 4"/>',
        _text(PAD, PAD + 16, card.title, 'font-size="20" font-weight="bold" fill="#3d3522"'),
    ]
    for place, (name, value) in enumerate(facts, start=1):
        y = PAD + 20 + LINE * place
        lines.append(_text(PAD, y, name, 'fill="#7a6f55"'))
        lines.append(_text(PAD + 150, y, value, 'fill="#222"'))
    y = PAD + 30 + LINE * (len(facts) + 1)
    note = f"Kennel's card, no screenshot: made from {card.source} on {day}"
    lines.append(_text(PAD, y, note, 'font-style="italic" font-size="13" fill="#7a6f55"'))
    if card.link:
        told = _text(PAD, y + LINE, _cut(card.link, 100), 'font-size="11" fill="#2a5d84"')
        lines.append(f'<a href="{escape(card.link, _QUOTES)}">{told}</a>')
    return "\n".join([*lines, "</svg>", ""])


def cards_markdown(cards: Sequence[tuple[str, Card]]) -> str:
    """The cards as pictures, each with its link to the console."""
    parts = []
    for path, card in cards:
        link = f"\n\n[The same in the console]({card.link})" if card.link else ""
        parts.append(f"![{card.title}]({path}){link}")
    return "\n\n".join(parts)


_QUOTES = {'"': "&quot;"}


def _text(x: int, y: int, text: str, style: str) -> str:
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'


def _cut(text: str, most: int = MOST_SIGNS) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."

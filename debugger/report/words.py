"""Words: numbers as a person writes them, and what every table of a page is made of."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from contract.page import to_text
from debugger.profile.numbers import in_seconds

_WHOLE_UP_TO = 40  # rows of a table; a longer one scrolls in its box
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


def to_duration(seconds: float) -> str:
    """`0.35 ms`, `18 ms`, `2.4 s`, `3.2 min`, `2.2 h`."""
    return in_seconds(seconds) if seconds < 100 * 60 else f"{seconds / 3600:,.1f} h"


def to_bytes(count: float) -> str:
    """`0 B`, `312 KiB`, `1.4 GiB`."""
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_BINARY) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_BINARY[unit]}" if unit == 0 or size >= 99.5 else (
        f"{size:.1f} {_BINARY[unit]}"
    )  # fmt: skip


def to_percent(percent: float, digits: int = 1) -> str:
    """`41.3 %`; what is there but too small to show is `< 0.1 %`."""
    least = 10.0**-digits
    if 0 < percent < least / 2:
        return f"&lt; {least:g} %"
    return f"{percent:.{digits}f} %"


def to_moment(unix_seconds: float) -> str:
    """`2026-05-04 17:31:08 UTC`."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def or_dash(text: str | None) -> str:
    """A cell for what is not known."""
    return "&ndash;" if text is None else text


def to_prose(text: str) -> str:
    """Anybody's sentence, escaped; a number and its percent sign stay on one line."""
    return to_text(text).replace(" %", "&nbsp;%")


def to_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1, is_prose: bool = False
) -> str:
    """A table whose first `texts` columns are words, the others numbers.

    Heads and cells are markup: what somebody else named goes through `to_text` before.

    Args:
        is_prose: cells hold sentences; on a phone each row is shown as a card.
    """
    kinds = ["" if i < texts else ' class="n"' for i in range(len(heads))]
    top = "".join(f"<th{kind}>{head}</th>" for kind, head in zip(kinds, heads, strict=True))
    every = list(rows)
    body = "".join(f"<tr>{_cells(row, heads, kinds, is_prose)}</tr>" for row in every)
    box = "scroll whole" if len(every) <= _WHOLE_UP_TO else "scroll"
    return (
        f'<div class="{box}"><table class="figures{" prose" if is_prose else ""}">'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[str], heads: Sequence[str], kinds: Sequence[str], is_prose: bool) -> str:
    names = [f' data-head="{head}"' if is_prose and kind else "" for head, kind in zip(
        heads, kinds, strict=True
    )]  # fmt: skip
    return "".join(
        f"<td{kind}{name}>{cell}</td>" for kind, name, cell in zip(kinds, names, row, strict=True)
    )


def to_words(text: str) -> str:
    """A paragraph of anybody's text in which `commands` stand out."""
    parts = to_text(text).split("`")
    marked = "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
    return f"<p>{marked}</p>"

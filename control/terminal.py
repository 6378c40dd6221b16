"""What a person sees: the only file that prints. Plain ASCII, no colours, so NO_COLOR holds."""

import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

# Clears what a progress bar left on the line. Only ever written to a terminal.
ERASE_LINE = "\r\x1b[K"


def say(text: str = "", *, to: TextIO | None = None) -> None:
    """Print lines, to stdout unless told otherwise, at once."""
    print(text, file=to or sys.stdout, flush=True)


def say_json(value: Any) -> None:
    """Print one JSON document: what `-o json` leaves on stdout, and nothing beside it."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def complain(error: object) -> None:
    """One line on stderr, whatever the message held."""
    say(f"kennel: {' '.join(str(error).split())}", to=sys.stderr)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def bar(share: float, width: int = 24) -> str:
    """A bar of `#`, full at 1.0; whatever is above zero shows."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return ("#" * max(filled, 1 if share > 0.005 else 0)).ljust(width)


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 05 s` or `2 h 07 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"

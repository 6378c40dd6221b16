"""The documentation as data: its pages, what they tell people to type, their tables and TOML."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path for pattern in ("*.md", "*/README.md", "docs/**/*.md") for path in ROOT.glob(pattern)
)
_BLOCK = r"^```{}\n(.*?)^```"
_ROW = re.compile(r"^\|(.+?)\|", re.MULTILINE)
_NAME = re.compile(r"`([^`]+)`")


def blocks(language: str = "bash") -> Iterator[tuple[Path, str]]:
    """(page, block) of every page."""
    pattern = re.compile(_BLOCK.format(language), re.MULTILINE | re.DOTALL)
    for page in PAGES:
        for match in pattern.finditer(page.read_text(encoding="utf-8")):
            yield page, match.group(1)


def commands() -> Iterator[tuple[Path, list[str]]]:
    """(page, words) of every command line: continued lines joined, comments dropped."""
    for page, block in blocks():
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                yield page, words


def names_in(page: str, heading: str) -> list[str]:
    """The names in the first column of the table of docs/PAGE whose header begins so."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"| {heading} |")
    assert found, f"docs/{page} has no table {heading!r}"
    rows = rest.partition("\n\n")[0]
    return [name for cell in _ROW.findall(rows) for name in _NAME.findall(cell)]

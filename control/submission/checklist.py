"""Checklist: each line of a rubric, where it is shown or what makes it; as Markdown and page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from contract.page import Tile, to_header, to_page, to_section, to_text
from control.submission.evidence import Evidence
from control.submission.rubric import Line
from control.submission.tables import table_of

HEADER = ("", "what a reviewer looks for", "where, or what makes it")
STYLE = "a{color:var(--accent)}td,th{vertical-align:top}code{font-size:.9em}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One line, and the files that show it."""

    line: Line
    where: tuple[str, ...]  # empty: it is missing
    how: str  # what makes it

    @property
    def state(self) -> str:
        """In one word."""
        return "found" if self.where else "optional" if self.line.is_extra else "missing"

    def to_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "key": self.line.key,
            "what": self.line.what,
            "state": self.state,
            "where": list(self.where),
            "how": None if self.where else self.how,
        }


def check(lines: Iterable[Line], files: Iterable[str], evidence: Evidence) -> list[Checked]:
    """Each line against the names of the files that there are."""
    names = sorted(files)
    checked = []
    for line in lines:
        shown = [_named(pattern, names) for pattern in line.files]
        where = tuple(name for found in shown for name in found) if all(shown) else ()
        checked.append(Checked(line=line, where=where, how=line.advice(evidence)))
    return checked


def missing_in(checked: Iterable[Checked]) -> list[Checked]:
    """Those that a reviewer will ask for."""
    return [one for one in checked if one.state == "missing"]


def to_markdown(course: str, checked: Sequence[Checked]) -> str:
    """checklist.md."""
    rows = [(one.state, one.line.what, _links(one) or f"`{one.how}`") for one in checked]
    lines = (f"# Checklist: {course}", _summary(checked))
    body = table_of(HEADER, rows).markdown
    return "\n\n".join([*lines, body]) + "\n"


def to_html(course: str, checked: Sequence[Checked]) -> str:
    """checklist.html; opens without a network."""
    missing = len(missing_in(checked))
    tile = Tile(name="Missing", value=str(missing), note=f"of {len(checked)} lines")
    head = to_header(f"Checklist: {course}", [_summary(checked)], [tile])
    rows = "".join(
        f"<tr><td>{_state_html(one)}</td><td>{to_text(one.line.what)}</td><td>{_where_html(one)}</td></tr>"
        for one in checked
    )
    heads = "".join(f"<th>{name}</th>" for name in HEADER)
    body = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return to_page("Checklist", head + to_section("Lines", body), STYLE)


def _summary(checked: Sequence[Checked]) -> str:
    missing = missing_in(checked)
    if not missing:
        return f"All {sum(one.state == 'found' for one in checked)} lines are shown."
    return f"{len(missing)} missing: {', '.join(one.line.key for one in missing)}."


def _links(one: Checked) -> str:
    return ", ".join(f"[{name}]({name})" for name in one.where)


def _state_html(one: Checked) -> str:
    return f"<b>{one.state}</b>" if one.state == "missing" else one.state


def _where_html(one: Checked) -> str:
    if not one.where:
        return f"<code>{to_text(one.how)}</code>"
    return ", ".join(f'<a href="{to_text(name)}">{to_text(name)}</a>' for name in one.where)


def _named(pattern: str, names: Sequence[str]) -> list[str]:
    if pattern.endswith("*"):
        return [name for name in names if name.startswith(pattern[:-1])]
    return [pattern] if pattern in names else []

"""Check text: what was found, for a terminal and as one JSON document."""

import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from control.data.classes import balance
from control.data.findings import Checked, Finding
from control.terminal import duration, table

_SHOWN = 3  # examples of each finding
_SHOWN_GROUP = 4  # pictures of one group


def check_lines(source: str, checked: Checked, seconds: float, page: Path | None) -> list[str]:
    """For a person; the last line says what to do next."""
    pictures = checked.gallery.pictures
    total = sum(picture.place.num_bytes for picture in pictures)
    rate = f", {len(pictures) / seconds:,.0f} a second" if seconds > 1 else ""
    return [
        f"{source}: {len(pictures):,} pictures ({total / 1e6:,.1f} MB) read in "
        f"{duration(seconds)}{rate}",
        "",
        table(
            ("split", "pictures", "classes", "smallest", "largest", "as even as"), _rows(checked)
        ),
        "",
        *_lines_of_findings(checked),
        f"read:    {_kinds(checked)}",
        *([f"page:    {page}"] if page is not None else []),
        f"next:    {_next(checked, source, page)}",
    ]


def check_facts(source: str, checked: Checked, seconds: float, page: Path | None) -> dict[str, Any]:
    """For `-o json`: all of it, with every name."""
    problems = {
        picture.name: look.problem
        for picture, look in zip(checked.gallery.pictures, checked.looks, strict=True)
        if look.problem
    }
    return {
        "folder": source,
        "is_fine": checked.is_fine,
        "pictures": len(checked.gallery.pictures),
        "bytes": sum(picture.place.num_bytes for picture in checked.gallery.pictures),
        "seconds": round(seconds, 2),
        "splits": {
            split: {
                "pictures": sum(labels.values()),
                "classes": dict(labels),
                "ratio": round(balance(labels)[0], 3),
                "effective_classes": round(balance(labels)[1], 2),
            }
            for split, labels in checked.counts.items()
        },
        "formats": dict(Counter(look.form for look in checked.looks if look.form)),
        "modes": dict(Counter(look.mode for look in checked.looks if look.mode)),
        "short_side_px": _sides(checked),
        "problems": problems,
        "findings": [_finding_facts(finding) for finding in checked.findings],
        "page": str(page) if page is not None else None,
    }


def headline(checked: Checked) -> str:
    """The one sentence that matters most."""
    errors = [finding.trouble for finding in checked.findings if finding.is_error]
    if not errors:
        return "nothing was found that spoils a training"
    return "; ".join(trouble.text for trouble in errors)


def _finding_facts(finding: Finding) -> dict[str, Any]:
    trouble = finding.trouble
    return {
        "kind": trouble.kind,
        "is_error": finding.is_error,
        "text": trouble.text,
        "count": trouble.num_found,
        "names": list(trouble.names),
        "groups": [list(group) for group in trouble.groups],
    }


def _rows(checked: Checked) -> list[tuple[str, ...]]:
    rows = []
    for split, labels in checked.counts.items():
        ranked = sorted(labels.items(), key=lambda pair: (pair[1], pair[0]))
        _, effective = balance(labels)
        ends = [f"{name} {count:,}" for name, count in (ranked[:1] + ranked[-1:])] or ["-", "-"]
        even = f"{effective:,.1f} of {len(labels):,}"
        rows.append((split, f"{sum(labels.values()):,}", f"{len(labels):,}", *ends, even))
    return rows


def _lines_of_findings(checked: Checked) -> Iterator[str]:
    problems = {
        picture.name: look.problem
        for picture, look in zip(checked.gallery.pictures, checked.looks, strict=True)
        if look.problem
    }
    for finding in checked.findings:
        trouble = finding.trouble
        yield f"{'ERROR' if finding.is_error else 'note'}: {trouble.kind}: {trouble.text}"
        for group in trouble.groups[:_SHOWN]:
            more = f" and {len(group) - _SHOWN_GROUP:,} more" if len(group) > _SHOWN_GROUP else ""
            yield f"         {' = '.join(group[:_SHOWN_GROUP])}{more}"
        if trouble.kind == "corrupt" or (trouble.names and finding.is_error):
            for name in trouble.names[:_SHOWN]:
                why = f": {problems[name]}" if name in problems else ""
                yield f"         {name}{why}"
        rest = max(len(trouble.groups), len(trouble.names) if finding.is_error else 0) - _SHOWN
        if rest > 0:
            yield f"         and {rest:,} more"
    if not checked.findings:
        yield "nothing was found"
    yield ""


def _kinds(checked: Checked) -> str:
    forms = Counter(look.form for look in checked.looks if look.form)
    modes = Counter(look.mode for look in checked.looks if look.mode)
    sides = _sides(checked)
    return (
        f"{_listed(forms)}; {_listed(modes)}; shorter sides from {sides['min']:,} to "
        f"{sides['max']:,} pixels, half of them below {sides['median']:,}"
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "nothing"


def _sides(checked: Checked) -> dict[str, int]:
    sides = [min(look.width, look.height) for look in checked.looks if not look.problem] or [0]
    return {"min": min(sides), "median": int(statistics.median(sides)), "max": max(sides)}


def _next(checked: Checked, source: str, page: Path | None) -> str:
    if checked.is_fine:
        return f"kennel data push {source} s3://BUCKET/PREFIX"
    if page is None:
        return "--page check.html shows the pictures; -o json names all of them"
    return f"open {page}; remove or move the pictures that it shows, then check again"

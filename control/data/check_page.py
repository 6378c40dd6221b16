"""Check page: the findings as one HTML file, with the pictures that they are about."""

from collections.abc import Iterable, Sequence

from contract.page import Tile, to_header, to_page, to_section, to_text
from contract.page_style import STORY_STYLE
from control.data.bars import BAR_STYLE, to_bars
from control.data.check_text import headline
from control.data.copies import overlap
from control.data.findings import Checked, Finding
from control.data.likeness import BITS, difference
from control.data.thumbs import to_thumb

SHOWN_GROUPS = 40  # of one kind: a page of some megabytes at most
SHOWN_OF_GROUP = 6
SHOWN_NAMES = 200
_HEADINGS = {
    "leak": "The same picture in two splits",
    "conflict": "The same picture under two labels",
    "duplicate": "Copies in one class",
    "corrupt": "Pictures that cannot be read",
}
_STYLE = """
.groups{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:16px}
.group{border:1px solid var(--line);border-radius:10px;padding:12px;min-width:0}
.group .row{display:flex;gap:10px;overflow-x:auto}
.group figure{flex:0 0 140px;width:140px}
.group img,.group .lost{width:140px;height:140px;object-fit:contain;border-radius:6px;
  background:var(--raised)}
.group .lost{display:flex;align-items:center;justify-content:center;color:var(--muted);
  font-size:13px}
.group figcaption{font-size:12px;line-height:1.35;margin-top:6px;overflow-wrap:anywhere}
.group figcaption b{color:var(--text)}
.group p{margin:0 0 8px;font-size:13px;color:var(--muted)}
.bad{color:var(--wrong);font-weight:600}
.kinds td:nth-child(-n+2){min-width:0;white-space:nowrap}
.kinds a{color:var(--accent)}
@media(max-width:640px){.groups{grid-template-columns:1fr}}
"""


def to_check_page(source: str, checked: Checked) -> str:
    """The whole page; pictures that cannot be read any more are left out of it."""
    sections = [
        to_section("Findings", _findings(checked.findings), "findings"),
        to_section("Classes", to_bars(checked.counts), "classes"),
    ]
    for finding in checked.findings:
        kind = finding.trouble.kind
        if finding.trouble.groups:
            sections.append(to_section(_HEADINGS[kind], _groups(checked, finding), kind))
        elif kind == "corrupt":
            sections.append(to_section(_HEADINGS[kind], _corrupt(checked), kind))
    verdict = "bad" if not checked.is_fine else ""
    story = f'<div class="story"><p class="{verdict}">{to_text(headline(checked))}.</p></div>'
    total = sum(picture.place.num_bytes for picture in checked.gallery.pictures)
    facts = [
        f"{len(checked.gallery.pictures):,} pictures",
        f"{total / 1e6:,.1f} MB",
        *(f"{split}: {sum(labels.values()):,}" for split, labels in checked.counts.items()),
    ]
    header = to_header(f"Data check of {source}", facts, _tiles(checked), story)
    return to_page(
        f"Data check of {source}", header + "".join(sections), STORY_STYLE + _STYLE + BAR_STYLE
    )


def _tiles(checked: Checked) -> list[Tile]:
    by_kind = {finding.trouble.kind: finding.trouble for finding in checked.findings}
    shared = overlap(checked.gallery, checked.groups)
    tiles = [
        Tile(
            name=f"{split} in {other}",
            value=f"{count:,}",
            note=f"of {total:,} pictures: {count / total:.1%}",
        )
        for (split, other), (count, total) in shared.items()
    ] or [Tile(name="shared by splits", value="0", note="no picture is in two splits")]
    for kind, note in (
        ("corrupt", "training cannot read them"),
        ("conflict", "pictures with two labels"),
        ("duplicate", "groups of copies in a class"),
    ):
        count = by_kind[kind].num_found if kind in by_kind else 0
        tiles.append(Tile(name=kind, value=f"{count:,}", note=note))
    return tiles


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return "<p>Nothing was found.</p>"
    rows = "".join(
        f'<tr><td class="{"bad" if one.is_error else "muted"}">'
        f"{'error' if one.is_error else 'note'}</td>"
        f"<td>{_linked(one)}</td><td>{to_text(one.trouble.text)}{_names(one)}</td></tr>"
        for one in findings
    )
    head = "<thead><tr><th>weight</th><th>kind</th><th>what</th></tr></thead>"
    return f'<div class="scroll"><table class="kinds">{head}<tbody>{rows}</tbody></table></div>'


def _linked(finding: Finding) -> str:
    kind = finding.trouble.kind
    return f'<a href="#{kind}">{kind}</a>' if kind in _HEADINGS else kind


def _names(finding: Finding) -> str:
    names = finding.trouble.names
    if not names or finding.trouble.kind in _HEADINGS:
        return ""
    more = f"<br>and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
    lines = "<br>".join(to_text(name) for name in names[:SHOWN_NAMES])
    return f"<details><summary>names</summary>{lines}{more}</details>"


def _corrupt(checked: Checked) -> str:
    rows = [
        f"<tr><td>{to_text(picture.name)}</td><td>{picture.place.num_bytes:,}</td>"
        f"<td>{to_text(look.problem)}</td></tr>"
        for picture, look in zip(checked.gallery.pictures, checked.looks, strict=True)
        if look.problem
    ]
    more = f"<p>And {len(rows) - SHOWN_NAMES:,} more.</p>" if len(rows) > SHOWN_NAMES else ""
    head = "<thead><tr><th>picture</th><th>bytes</th><th>why</th></tr></thead>"
    body = "".join(rows[:SHOWN_NAMES])
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>{more}'


def _groups(checked: Checked, finding: Finding) -> str:
    groups = finding.trouble.groups
    number = {picture.name: index for index, picture in enumerate(checked.gallery.pictures)}
    shown = [[number[name] for name in group] for group in groups[:SHOWN_GROUPS]]
    more = f"<p>And {len(groups) - SHOWN_GROUPS:,} more.</p>" if len(groups) > SHOWN_GROUPS else ""
    return f'<div class="groups">{"".join(_group(checked, one) for one in shown)}</div>{more}'


def _group(checked: Checked, group: Sequence[int]) -> str:
    figures = "".join(_figure(checked, index) for index in group[:SHOWN_OF_GROUP])
    more = f" The first {SHOWN_OF_GROUP} of {len(group):,}." if len(group) > SHOWN_OF_GROUP else ""
    return (
        f'<div class="group"><p>{_how_alike(checked, group)}.{more}</p>'
        f'<div class="row">{figures}</div></div>'
    )


def _how_alike(checked: Checked, group: Iterable[int]) -> str:
    first, *others = (checked.looks[index] for index in group)
    if all(other.sha256 == first.sha256 for other in others):
        return "The same file"
    bits, mean = max(difference(first, other) for other in others)
    if bits == 0 and mean == 0:
        return "The same when small"
    return f"Alike: {bits} of {BITS} gradients differ, {mean:.1f} of 255 on average"


def _figure(checked: Checked, index: int) -> str:
    picture, look = checked.gallery.pictures[index], checked.looks[index]
    seen = to_thumb(picture.place, look.turn)
    image = f'<img alt="" src="{seen}">' if seen else '<div class="lost">cannot be read</div>'
    size = f"{look.width} x {look.height}" if look.width else ""
    return (
        f"<figure>{image}<figcaption><b>{to_text(picture.split)}</b> {to_text(picture.label)}<br>"
        f"{to_text(picture.name.rpartition('/')[2])}<br>{size}</figcaption></figure>"
    )

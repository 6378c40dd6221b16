"""Bars: how many pictures each class has in each split, as a drawing that a page holds."""

from collections.abc import Mapping, Sequence

from contract.page import to_text

ROW_PX = 22
LABEL_PX = 230
BARS_PX = 640  # of the longest
WIDTH_PX = 1000
BAR_PX = 12
_LETTERS = 30  # of a label
_FILLS = ("var(--accent)", "var(--wrong)", "var(--muted)")
BAR_STYLE = """
.bars{overflow:auto;max-height:620px;border:1px solid var(--line);border-radius:10px;padding:10px}
.bars svg{display:block;width:100%;min-width:640px;height:auto}
.bars text{font-size:13px;fill:var(--text)}
.bars text.n{fill:var(--muted);font-variant-numeric:tabular-nums}
.key{display:flex;gap:18px;margin:0 0 10px;font-size:13px;color:var(--muted)}
.key i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;
  vertical-align:-1px}
@media print{.bars{max-height:none}}
"""


def to_bars(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A row for each class, the most pictures first; the splits stand behind each other."""
    labels = {label for split in counts.values() for label in split}
    totals = {label: sum(split.get(label, 0) for split in counts.values()) for label in labels}
    ranked = sorted(labels, key=lambda label: (-totals[label], label))
    if not ranked:
        return "<p>No class has a picture that can be read.</p>"
    most = max(1, totals[ranked[0]])
    rows = [_row(number, label, counts, most) for number, label in enumerate(ranked)]
    height = ROW_PX * len(ranked)
    alt = f"pictures of {len(ranked)} classes, from {totals[ranked[0]]} to {totals[ranked[-1]]}"
    key = "".join(
        f'<span><i style="background:{fill}"></i>{to_text(split)}</span>'
        for split, fill in zip(counts, _FILLS, strict=False)
    )
    return (
        f'<div class="key">{key}</div><div class="bars"><svg role="img" aria-label="{alt}" '
        f'viewBox="0 0 {WIDTH_PX} {height}">{"".join(rows)}</svg></div>'
    )


def _row(number: int, label: str, counts: Mapping[str, Mapping[str, int]], most: int) -> str:
    middle = ROW_PX * number + ROW_PX / 2
    sizes = [split.get(label, 0) for split in counts.values()]
    parts = _segments(sizes, most, middle)
    told = ", ".join(f"{split} {size:,}" for split, size in zip(counts, sizes, strict=True))
    short = label if len(label) <= _LETTERS else f"{label[: _LETTERS - 3]}..."
    end = LABEL_PX + BARS_PX * sum(sizes) / most + 8
    return (
        f"<g><title>{to_text(f'{label}: {told}')}</title>"
        f'<text x="{LABEL_PX - 10}" y="{middle + 4.5:g}" text-anchor="end">{to_text(short)}</text>'
        f'{parts}<text class="n" x="{end:.1f}" y="{middle + 4.5:g}">'
        f"{' + '.join(f'{size:,}' for size in sizes)}</text></g>"
    )


def _segments(sizes: Sequence[int], most: int, middle: float) -> str:
    parts, left = "", float(LABEL_PX)
    for size, fill in zip(sizes, _FILLS, strict=False):
        width = BARS_PX * size / most
        if size:
            parts += (
                f'<rect x="{left:.1f}" y="{middle - BAR_PX / 2:g}" height="{BAR_PX}" rx="2" '
                f'width="{max(width - 1, 0.5):.1f}" style="fill:{fill}"/>'
            )
        left += width
    return parts

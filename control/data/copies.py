"""Copies: pictures that are there more than once: across splits, under two labels, in a class."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from control.data.pictures import Gallery, Picture
from control.data.trouble import Trouble


def troubles_of_groups(gallery: Gallery, groups: Sequence[Sequence[int]]) -> Iterator[Trouble]:
    """`groups` hold indices of the gallery's pictures that are alike."""
    members = [[gallery.pictures[index] for index in group] for group in groups]
    read = [[one for one in group if one.split and one.label] for group in members]
    leaks = [group for group in read if len({one.split for one in group}) > 1]
    if leaks:
        parts = [
            f"{count:,} of {total:,} {split} pictures are in {other}"
            for (split, other), (count, total) in overlap(gallery, groups).items()
        ]
        yield _grouped("leak", ", ".join(parts), leaks)
    conflicts = [group for group in read if len({one.label for one in group}) > 1]
    if conflicts:
        text = f"{len(conflicts):,} pictures have copies under another label"
        yield _grouped("conflict", text, conflicts)
    doubled = [group for group in read if _repeats(group)]
    if doubled:
        extra = sum(_repeats(group) for group in doubled)
        text = f"{extra:,} pictures are further copies of others in the same split and class"
        if "validation" not in gallery.layout.folders:
            text += ": some would be held out for validation, and their copies trained on"
        yield _grouped("duplicate", text, doubled)


def overlap(
    gallery: Gallery, groups: Iterable[Sequence[int]]
) -> dict[tuple[str, str], tuple[int, int]]:
    """(a split, train or another before it) -> (its pictures that the other has, all of its)."""
    order = {split: number for number, split in enumerate(gallery.layout.folders)}
    totals = Counter(picture.split for picture in gallery.pictures)
    shared: Counter[tuple[str, str]] = Counter()
    for group in groups:
        splits = Counter(gallery.pictures[index].split for index in group)
        for split, count in splits.items():
            for other in splits:
                if split in order and other in order and order[other] < order[split]:
                    shared[split, other] += count
    ranked = sorted(shared, key=lambda pair: (-order[pair[0]], order[pair[1]]))
    return {pair: (shared[pair], totals[pair[0]]) for pair in ranked}


def _grouped(kind: str, text: str, groups: Sequence[Sequence[Picture]]) -> Trouble:
    names = [[one.name for one in group] for group in groups]
    return Trouble(kind, text, len(groups), (), names)


def _repeats(group: Sequence[Picture]) -> int:
    """Copies beyond the first, in one split under one label."""
    counts = Counter((one.split, one.label) for one in group)
    return sum(count - 1 for count in counts.values())

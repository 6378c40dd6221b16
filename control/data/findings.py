"""Findings: what is wrong with a data set, judged from what was seen of every picture."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from control.data.classes import troubles_of_classes
from control.data.copies import troubles_of_groups
from control.data.look import Look
from control.data.names import troubles_of_names
from control.data.pictures import Gallery
from control.data.trouble import KINDS, Thresholds, Trouble

_USUAL_MODES = frozenset({"RGB", "L"})
_SMALL_PX = 32  # of the shorter side


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A kind of trouble, and whether it spoils a training here."""

    trouble: Trouble
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Everything that is known of a data set."""

    gallery: Gallery
    looks: tuple[Look, ...]  # as gallery.pictures
    groups: tuple[tuple[int, ...], ...]  # of likeness.py
    counts: Mapping[str, Mapping[str, int]]  # split -> label -> sound pictures
    findings: tuple[Finding, ...]  # errors first
    thresholds: Thresholds

    @property
    def is_fine(self) -> bool:
        """Nothing here spoils a training."""
        return not any(finding.is_error for finding in self.findings)


def judge(
    gallery: Gallery,
    looks: Sequence[Look],
    groups: Sequence[Sequence[int]],
    thresholds: Thresholds,
) -> Checked:
    """All findings. Pure."""
    counts = gallery.layout.counts(
        picture.name
        for picture, look in zip(gallery.pictures, looks, strict=True)
        if not look.problem
    )
    found = [
        *troubles_of_groups(gallery, groups),
        *_troubles_of_pictures(gallery, looks),
        *troubles_of_classes(gallery, counts, thresholds),
        *troubles_of_names(gallery),
    ]
    order = list(KINDS)
    findings = [
        Finding(trouble=one, is_error=KINDS[one.kind][0] and one.kind not in thresholds.allowed)
        for one in sorted(found, key=lambda one: order.index(one.kind))
    ]
    return Checked(
        gallery=gallery,
        looks=tuple(looks),
        groups=tuple(tuple(group) for group in groups),
        counts=counts,
        findings=tuple(sorted(findings, key=lambda one: not one.is_error)),
        thresholds=thresholds,
    )


def _troubles_of_pictures(gallery: Gallery, looks: Sequence[Look]) -> Iterator[Trouble]:
    def those(test: Callable[[Look], object]) -> list[str]:
        pairs = zip(gallery.pictures, looks, strict=True)
        return [picture.name for picture, look in pairs if test(look)]

    bad = those(lambda look: look.problem)
    if bad:
        yield Trouble("corrupt", f"{len(bad):,} pictures cannot be read", len(bad), bad)
    small = those(lambda look: not look.problem and min(look.width, look.height) < _SMALL_PX)
    if small:
        text = f"{len(small):,} pictures have a side of less than {_SMALL_PX} pixels"
        yield Trouble("small", text, len(small), small)
    turned = those(lambda look: look.turn != 1)
    if turned:
        text = (
            f"{len(turned):,} pictures are stored turned, and upright by their EXIF: we read it, "
            "other programs may not"
        )
        yield Trouble("turned", text, len(turned), turned)
    odd = those(lambda look: look.mode and look.mode not in _USUAL_MODES)
    if odd:
        modes = Counter(look.mode for look in looks if look.mode not in ("", *_USUAL_MODES))
        kinds = ", ".join(f"{count:,} {mode}" for mode, count in modes.most_common())
        yield Trouble(
            "mode", f"{len(odd):,} pictures become RGB when they are read ({kinds})", len(odd), odd
        )
    moving = those(lambda look: look.frames > 1)
    if moving:
        text = f"{len(moving):,} pictures have several frames, of which the first is read"
        yield Trouble("animated", text, len(moving), moving)

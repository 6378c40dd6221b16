"""Names: those of pictures, classes and files that training, S3 or other systems stumble over."""

import re
import unicodedata
from collections.abc import Iterator

from contract.errors import DataError
from contract.labels import Labels
from control.data.pictures import Gallery
from control.data.trouble import Trouble, some

# Source: Amazon S3 user guide, Object key names, characters to avoid; Windows' reserved names.
_AWKWARD = re.compile(r'[\\{}^%`\[\]"<>~#|:*?\x00-\x1f\x7f]|^ | $|\.$')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def troubles_of_names(gallery: Gallery) -> Iterator[Trouble]:
    """By names and places alone."""
    folders = gallery.layout.folders
    stray = [one.name for one in gallery.pictures if folders.get(one.split) and not one.label]
    if stray and len(folders) > 1:
        text = (
            f"{len(stray):,} pictures lie right in the folder of a split: training refuses that, "
            "or passes the split over: move them into class folders"
        )
        yield Trouble("stray", text, len(stray), stray)
    outside = [one.name for one in gallery.pictures if not one.label and one.name not in stray]
    if outside:
        text = f"{len(outside):,} pictures lie where training does not look"
        yield Trouble("outside", text, len(outside), outside)
    if gallery.others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(gallery.others.items()))
        count = sum(gallery.others.values())
        yield Trouble(
            "other", f"{count:,} files are no pictures: {kinds}", count, sorted(gallery.others)
        )
    refused = sorted({one.label for one in gallery.pictures if one.label} - _good_labels(gallery))
    if refused:
        text = f"{len(refused):,} class names cannot be labels: {some(list(map(ascii, refused)))}"
        yield Trouble("label", text, len(refused), refused)
    names = sorted({*_awkward(gallery), *_same_elsewhere(gallery)})
    if names:
        text = (
            f"{len(names):,} names hold signs that S3 or Windows avoid, or differ from another in "
            "case alone"
        )
        yield Trouble("name", text, len(names), names)


def _good_labels(gallery: Gallery) -> set[str]:
    good = set()
    for label in {one.label for one in gallery.pictures if one.label}:
        try:
            label.encode("utf-8")
            Labels((label,))
        except (DataError, UnicodeEncodeError):
            continue
        good.add(label)
    return good


def _awkward(gallery: Gallery) -> Iterator[str]:
    for picture in gallery.pictures:
        for part in picture.name.split("/"):
            if _AWKWARD.search(part) or _RESERVED.fullmatch(part) or not _is_utf8(part):
                yield picture.name
                break


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _same_elsewhere(gallery: Gallery) -> Iterator[str]:
    seen: dict[str, str] = {}
    for picture in gallery.pictures:
        key = unicodedata.normalize("NFC", picture.name).casefold()
        if seen.setdefault(key, picture.name) != picture.name:
            yield picture.name

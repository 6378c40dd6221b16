"""Pictures: every picture of a folder with its split and label; those in shards, too."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from contract.channel_files import is_hidden, is_picture_name
from contract.errors import UsageError
from contract.shards import is_shard_name, read_shard
from control.data.layout import Layout, layout_of
from control.pack_plan import Item, visible_files


class Place(NamedTuple):
    """Where the bytes of a picture are."""

    path: str
    offset: int
    num_bytes: int


class Picture(NamedTuple):
    """One picture. Not a dataclass: there may be millions of them."""

    name: str  # relative to the folder, with slashes
    split: str  # empty: in none that training reads
    label: str  # empty: outside of class folders
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """What a folder holds."""

    folder: Path
    layout: Layout
    pictures: tuple[Picture, ...]  # sorted by name
    others: Mapping[str, int]  # suffix -> files that are no pictures by name
    empty_classes: tuple[str, ...]  # folders, relative, that hold no picture


def find_gallery(folder: Path) -> Gallery:
    """List it. Raises UsageError: no picture. DataError: links that leave it, a damaged shard."""
    places: dict[str, Place] = {}
    others: Counter[str] = Counter()
    for item in sorted(visible_files(folder)):
        if is_picture_name(item.name):
            places[item.name] = Place(str(folder / item.name), 0, item.num_bytes)
        elif is_shard_name(os.path.basename(item.name)):
            places |= _members(folder, item)
        else:
            others[os.path.splitext(item.name)[1].lower() or "no suffix"] += 1
    if not places:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(5))
        raise UsageError(
            f"{folder} holds no picture ({kinds or 'it is empty'}): give class folders of "
            "pictures; archives are not looked into"
        )
    layout = layout_of(list(places))
    return Gallery(
        folder=folder,
        layout=layout,
        pictures=tuple(
            Picture(name, layout.split_of(name), layout.label_of(name), place)
            for name, place in sorted(places.items())
        ),
        others=others,
        empty_classes=tuple(_empty_classes(folder, layout, places)),
    )


def _members(folder: Path, item: Item) -> dict[str, Place]:
    path, inside = folder / item.name, os.path.dirname(item.name)
    return {
        os.path.join(inside, member.name): Place(str(path), member.offset, member.num_bytes)
        for member in read_shard(path).members
    }


def _empty_classes(folder: Path, layout: Layout, places: Mapping[str, Place]) -> list[str]:
    filled = {
        name[: len(below) + len(name[len(below) :].partition("/")[0])]
        for name in places
        for below in (_folder_of(name, layout),)
        if below is not None
    }
    found = []
    for below in layout.folders.values():
        if not (folder / below).is_dir():  # in a shard
            continue
        with os.scandir(folder / below) as entries:
            for entry in entries:
                name = f"{below}{entry.name}"
                if entry.is_dir() and not is_hidden(entry.name) and name not in filled:
                    found.append(name)
    return sorted(found)


def _folder_of(name: str, layout: Layout) -> str | None:
    return layout.folders.get(layout.split_of(name))

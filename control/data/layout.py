"""Layout: split and class of every picture by its name alone, as training will see them."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contract.errors import DataError
from contract.job import PICTURE_CHANNELS, channel_name

_MAX_WRAPPERS = 2  # folders around everything, such as the dogImages/ that an archive makes


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the splits of a folder are."""

    folders: Mapping[str, str]  # channel -> folder with a closing slash; "" is the whole

    def split_of(self, name: str) -> str:
        """`validation` for `valid/beagle/1.jpg`; empty for what is in no split."""
        for channel, folder in self.folders.items():
            if name.startswith(folder):
                return channel
        return ""

    def label_of(self, name: str) -> str:
        """`beagle`; empty for what lies outside of class folders, or in no split."""
        folder = self.folders.get(self.split_of(name))
        if folder is None:
            return ""
        label, slash, _ = name[len(folder) :].partition("/")
        return unicodedata.normalize("NFC", label) if slash else ""

    def counts(self, names: Iterable[str]) -> dict[str, Counter[str]]:
        """Split -> label -> pictures, in the order train, validation, test; labels sorted."""
        found: dict[str, Counter[str]] = {channel: Counter() for channel in self.folders}
        for name in sorted(names):
            if label := self.label_of(name):
                found[self.split_of(name)][label] += 1
        return found


def layout_of(pictures: Sequence[str]) -> Layout:
    """From the names of all pictures, relative and with slashes.

    Raises DataError: two folders mean the same split.
    """
    wrapper = _wrapper(pictures)
    inside = [name[len(wrapper) :] for name in pictures if name.startswith(wrapper)]
    tops: dict[str, int] = {}  # folder -> depth of its deepest picture
    for name in inside:
        top, *below = name.split("/")
        if below:
            tops[top] = max(tops.get(top, 0), len(below))
    by_split: dict[str, str] = {}
    for top in sorted(name for name, depth in tops.items() if depth > 1 and is_split(name)):
        channel = channel_name(top.lower())
        if channel in by_split:
            raise DataError(
                f"folders {by_split[channel]} and {top} both mean {channel}: keep one of them"
            )
        by_split[channel] = top
    # A class may well be called `test`: one such folder beside others is no split.
    if len(by_split) > 1 or (by_split and len(tops) == 1):
        ordered = [channel for channel in PICTURE_CHANNELS if channel in by_split]
        return Layout(folders={each: f"{wrapper}{by_split[each]}/" for each in ordered})
    return Layout(folders={"train": wrapper})


def is_split(name: str) -> bool:
    """True for a folder's name that means train, validation or test."""
    return channel_name(name.lower()) in PICTURE_CHANNELS


def _wrapper(names: Sequence[str]) -> str:
    """`dogImages/` when everything lies in class or split folders below it, else empty."""
    wrapper = ""
    for _ in range(_MAX_WRAPPERS):
        inside = [name[len(wrapper) :].split("/") for name in names]
        tops = {parts[0] for parts in inside}
        if len(tops) != 1 or min(len(parts) for parts in inside) < 3 or is_split(inside[0][0]):
            break
        wrapper += f"{inside[0][0]}/"
    return wrapper

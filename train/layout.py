"""Layout: where the splits of a channel lie, in folders, archives or manifests."""

import shutil
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from contract.errors import ChannelError, DataError
from contract.job import PICTURE_CHANNELS, Channel, channel_name
from contract.shards import is_shard_name
from train.archive import archive_stem, is_archive, unpack
from train.augmented_manifest import is_augmented_manifest
from train.folders import Listing, Tree

LAYOUTS = (
    "class folders of pictures, or train/, valid/ and test/ folders of those, or a zip or tar of "
    "either, or its shards, or an augmented manifest beside its pictures"
)
_MAX_WRAPPERS = 2  # folders around everything, such as the dogImages/ that an archive makes
_SHOWN = 5  # how many names an error or note lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where one split lies: a folder of class folders, or a manifest file."""

    split: str
    tree: Tree
    path: Path


class Layouts:
    """Opens channels and collects the notes on what was passed over."""

    def __init__(self, work_dir: Path) -> None:
        self._unpacked = work_dir.resolve() / "unpacked"
        self.notes: list[str] = []
        self.known: frozenset[str] = frozenset()  # labels, once train is read
        self.is_shard = False  # what lies here is a part: one folder may be one class of many

    def open_channel(self, channel: Channel) -> dict[str, Source]:
        """The splits in one channel, its own always among them."""
        if not channel.path.exists():
            raise ChannelError(f"channel {channel.name!r}: {channel.path} does not exist")
        path = channel.path.resolve()  # a channel may itself be a link: our runner makes them so
        if is_shard_name(path.name):
            raise ChannelError(f"channel {channel.name!r}: {path} is one shard: give its folder")
        if path.is_file():
            tree = self._tree(channel.name, path.parent)
            sources = self._open_files(tree, (path,), channel.name)
        else:
            tree = self._tree(channel.name, path)
            sources = self._open_folder(tree, path, channel.name)
        if not sources:
            found = f"{path.name}, another kind of file" if path.is_file() else "nothing"
            raise ChannelError(unreadable_layout(channel.name, path, found))
        return sources

    def _open_folder(self, tree: Tree, folder: Path, own: str) -> dict[str, Source]:
        folder = self.unwrap(tree, folder, own)
        listing = tree.listing(folder)
        manifests = tuple(path for path in listing.files if is_augmented_manifest(path))
        if manifests or not (listing.folders or listing.pictures):
            sources = self._open_files(tree, manifests or listing.files, own)
            if sources:
                return sources
        return self._nested_splits(tree, listing, own) or {
            own: Source(split=own, tree=tree, path=folder)
        }

    def _open_files(self, tree: Tree, files: tuple[Path, ...], own: str) -> dict[str, Source]:
        """Sources from manifests or archives: a single one, or one a split, named for it."""
        files = tuple(
            path
            for path in files
            if is_augmented_manifest(path)
            # Not an archive inside an archive: one can be made that holds itself.
            or (is_archive(path) and not path.is_relative_to(self._unpacked))
        )
        by_split = {own: files[0]} if len(files) == 1 else {}
        for path in files if len(files) > 1 else ():
            name = channel_name(archive_stem(path) if is_archive(path) else path.stem)
            if name not in PICTURE_CHANNELS or name in by_split:
                names = ", ".join(item.name for item in files[:_SHOWN])
                raise ChannelError(
                    f"channel {own!r} ({path.parent}): expected one archive or manifest, or one "
                    f"a split named train, validation or test, got {names}"
                )
            by_split[name] = path
        sources: dict[str, Source] = {}
        for split, path in by_split.items():
            if is_archive(path):
                opened = self._open_archive(tree.channel, path, split)
                sources |= opened if len(by_split) == 1 else {split: opened[split]}
            else:
                sources[split] = Source(split=split, tree=tree, path=path)
        if sources and own not in sources:
            raise ChannelError(unreadable_layout(own, tree.root, f"only {', '.join(sources)}"))
        return sources

    def _open_archive(self, channel: str, path: Path, split: str) -> dict[str, Source]:
        target = self._unpacked / channel / archive_stem(path)
        if target.exists():  # of an earlier run in the same folder
            shutil.rmtree(target)
        unpack(path, target)
        return self._open_folder(self._tree(channel, target), target, split)

    def _tree(self, channel: str, root: Path) -> Tree:
        return Tree(channel=channel, root=root, is_part=self.is_shard)

    def root_of(self, source: Source) -> Path:
        """The folder below which a picture's name is the same on every host that has it."""
        root, unpacked = source.tree.root, self._unpacked / source.tree.channel
        return unpacked if root.is_relative_to(unpacked) else root

    def unwrap(self, tree: Tree, folder: Path, own: str) -> Path:
        """Step into a lone folder that holds folders and is neither a class nor another split.

        On a shard only into one that is called as the split `own` is: one that looks like a wrapper
        may be the only class that came here.
        """
        for _ in range(_MAX_WRAPPERS):
            listing = tree.listing(folder)
            if len(listing.folders) != 1 or listing.pictures:
                break
            inner = tree.listing(listing.folders[0])
            if inner.pictures or not inner.folders or label_of(listing.folders[0]) in self.known:
                break
            meant = channel_name(listing.folders[0].name.lower())
            if meant != own and (self.is_shard or meant in PICTURE_CHANNELS):
                break
            folder = listing.folders[0]
        return folder

    def _nested_splits(self, tree: Tree, listing: Listing, own: str) -> dict[str, Source]:
        """Splits of a channel whose folders are named for them; empty for class folders.

        A class may well be called `train`, so the folder of this channel's own split has to
        look like one: folders inside, no pictures of its own, and a second split beside it.
        """
        by_split: dict[str, Path] = {}
        for folder in listing.folders:
            name = channel_name(folder.name.lower())
            if name in by_split:
                raise ChannelError(
                    f"channel {own!r}: folders {by_split[name].name} and {folder.name} both mean "
                    f"{name}: keep one"
                )
            if name in PICTURE_CHANNELS:
                by_split[name] = folder
        if len(by_split) < 2:
            return {}
        looks = {name: _has_only_folders(tree, folder) for name, folder in by_split.items()}
        if not any(looks.values()):
            return {}
        if not looks.get(own):
            raise ChannelError(
                f"channel {own!r} ({tree.root}): expected class folders in {own}/ beside "
                f"{', '.join(by_split[name].name for name in by_split if name != own)}, got none"
            )
        for folder in listing.folders:
            name = channel_name(folder.name.lower())
            if not looks.get(name):
                self.notes.append(f"{own}: {folder.name}/ holds no class folders: it is not read")
        return {
            name: Source(split=name, tree=tree, path=folder)
            for name, folder in by_split.items()
            if looks[name]
        }


def _has_only_folders(tree: Tree, folder: Path) -> bool:
    listing = tree.listing(folder)
    return bool(listing.folders) and not listing.pictures


def label_of(folder: Path) -> str:
    """A class folder's label. macOS archives decompose accents; labels are always composed."""
    try:
        folder.name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"class folder {str(folder)!r}: its name is not UTF-8: rename it") from None
    return unicodedata.normalize("NFC", folder.name)


def unreadable_layout(split: str, path: Path, found: str) -> str:
    """The line for a channel without a layout of ours; `found` says what is there."""
    return f"channel {split!r} ({path}): expected {LAYOUTS}; found {found}"


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more

"""Tree: what lies in a channel's folder, listed in one order, without leaving the channel."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contract.channel_files import is_hidden, is_junk_file, is_picture_name
from contract.errors import ChannelError, DataError
from contract.shards import is_shard_name
from train.shards import Packed


def is_picture(path: Path) -> bool:
    """True when the name says that it is a picture; the content is looked at when decoding."""
    return is_picture_name(path.name)


def below(path: Path, folder: Path) -> str:
    """The name of `path`, which lies below `folder`, relative to it and with slashes.

    What Path.relative_to would say, at a tenth of the time: it is asked for every picture.
    """
    return str(path)[len(str(folder)) :].lstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One folder's visible entries, sorted by name."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...]

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The files that are named as pictures are."""
        return tuple(path for path in self.files if is_picture(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A channel's folder, resolved. Links below it are followed only while they stay inside.

    What is packed into shards counts as if it lay unpacked beside them.
    """

    channel: str
    root: Path
    is_part: bool = False  # other hosts have other files of the channel
    packed: Packed = field(default_factory=Packed, compare=False)

    def listing(self, folder: Path) -> Listing:
        """Raises ChannelError: not listable. DataError: a link that leaves the channel."""
        entries = list(self._entries(folder))
        return Listing(
            folders=tuple(path for path, _, is_folder in entries if is_folder),
            files=tuple(path for path, _, is_folder in entries if not is_folder),
        )

    def files_below(self, folder: Path) -> list[Path]:
        """Every visible file at any depth, sorted by relative name. Raises as `listing` does."""
        found: list[Path] = []
        # Each folder comes with the real folders above it, so that linked loops are seen.
        waiting = [(folder, (folder.resolve(),))]
        while waiting:
            current, chain = waiting.pop()
            for path, real, is_folder in self._entries(current, chain[-1]):
                if not is_folder:
                    found.append(path)
                elif real in chain:
                    raise DataError(f"channel {self.channel!r}: the link {path} leads in a circle")
                else:
                    waiting.append((path, (*chain, real)))
        return sorted(found, key=lambda path: below(path, folder))

    def pictures_below(self, folder: Path) -> list[Path]:
        """Every picture at any depth, sorted by relative name."""
        return [path for path in self.files_below(folder) if is_picture(path)]

    def _entries(self, folder: Path, real: Path | None = None) -> Iterator[tuple[Path, Path, bool]]:
        """(path, real path, is a folder) of everything visible, sorted by name."""
        found = {entry[0].name: entry for entry in self._on_disk(folder, real)}
        shards = [
            path
            for path, _, is_folder in found.values()
            if is_shard_name(path.name) and not is_folder
        ]
        self.packed.add(self.channel, shards, is_part=self.is_part)
        for path in shards:
            del found[path.name]
        for name, is_folder in self.packed.entries(folder).items():
            path = folder / name
            if name in found and not (is_folder and found[name][2]):
                raise DataError(f"{path} is there twice: packed into a shard, and beside it")
            found.setdefault(name, (path, (real or folder) / name, is_folder))
        yield from (found[name] for name in sorted(found))

    def _on_disk(self, folder: Path, real: Path | None) -> Iterator[tuple[Path, Path, bool]]:
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and self.packed.entries(folder):
                return
            raise ChannelError(
                f"channel {self.channel!r}: cannot list {folder}: {error.strerror}"
            ) from error
        for entry in entries:
            if is_hidden(entry.name):
                continue
            path = folder / entry.name
            target = self._follow(path) if entry.is_symlink() else (real or folder) / entry.name
            if entry.is_dir():
                yield path, target, True
            elif entry.is_file() and not is_junk_file(entry.name):
                yield path, target, False

    def _follow(self, link: Path) -> Path:
        """Where a link leads, when that is inside the channel."""
        where = f"channel {self.channel!r}: the link {link}"
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: a link to itself, before Python 3.13
            raise DataError(f"{where} leads nowhere: remove it or copy the file in") from None
        if not target.is_relative_to(self.root):
            raise DataError(f"{where} leaves the channel (to {target}): copy the files in")
        return target

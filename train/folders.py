"""Tree: what lies in a channel's folder, listed in one order, without leaving the channel."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.errors import ChannelError, DataError

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ppm", ".avif"}
    | {".jp2"}
)
# What file managers, unzip, Spark and mounted disks leave behind.
_JUNK = frozenset({"__MACOSX", "_SUCCESS", "Thumbs.db", "desktop.ini", "lost+found"})
_JUNK_FILE_ENDINGS = ("-manifest", "_$folder$")  # SageMaker's key listing; Hadoop's folder keys


def is_picture(path: Path) -> bool:
    """True when the name says that it is a picture; the content is looked at when decoding."""
    return path.suffix.lower() in PICTURE_SUFFIXES


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
    """A channel's folder, resolved. Links below it are followed only while they stay inside."""

    channel: str
    root: Path

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
        return sorted(found, key=lambda path: path.relative_to(folder).as_posix())

    def pictures_below(self, folder: Path) -> list[Path]:
        """Every picture at any depth, sorted by relative name."""
        return [path for path in self.files_below(folder) if is_picture(path)]

    def _entries(self, folder: Path, real: Path | None = None) -> Iterator[tuple[Path, Path, bool]]:
        """(path, real path, is a folder) of everything visible, sorted by name."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise ChannelError(
                f"channel {self.channel!r}: cannot list {folder}: {error.strerror}"
            ) from error
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _JUNK:
                continue
            path = folder / entry.name
            target = self._follow(path) if entry.is_symlink() else (real or folder) / entry.name
            if entry.is_dir():
                yield path, target, True
            elif entry.is_file() and not entry.name.endswith(_JUNK_FILE_ENDINGS):
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

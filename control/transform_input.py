"""Transform input: where the pictures of a transform are, and how each is read.

A folder tree, one picture, a list of paths, SageMaker's manifest, or the objects below an S3
prefix. Names are bytes: what a file system holds need not be text. They are streamed, never
gathered.
"""

import codecs
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from contract.channel_files import is_picture_name
from contract.errors import ImageError, UsageError
from contract.limits import DEFAULT_LIMITS
from control.aws_client import AwsError
from control.s3 import S3, SCHEME, S3Uri

LIST_SUFFIXES = frozenset({".txt", ".lst"})
MANIFEST_SUFFIXES = frozenset({".manifest", ".json"})
SORTED_AT_ONCE = 100_000  # names of one folder that are held in memory, to sort them
# What S3 says of one object; everything else is about all of them.
OBJECT_CODES = frozenset({"NoSuchKey", "404", "AccessDenied", "403", "InvalidObjectState"})


class TransformInput(Protocol):
    """The pictures of one transform."""

    left_out: Counter[str]  # what `names` passed over: suffix -> count

    def names(self) -> Iterator[bytes]:
        """Each picture's name, relative to the input. Never holds a NUL."""
        ...

    def read(self, name: bytes) -> bytes:
        """One picture's file. Raises ImageError: this one cannot be read, others may."""
        ...


class FileInput:
    """The pictures below a folder of this machine, `without` left aside."""

    def __init__(self, folder: Path, *, without: Path | None = None) -> None:
        self.left_out: Counter[str] = Counter()
        self._folder = os.fsencode(folder)
        self._without = os.fsencode(without.resolve()) if without else None

    def names(self) -> Iterator[bytes]:
        """The folder's pictures, then those of each subfolder; hidden names are passed over.

        Links are followed, but no folder is entered twice.
        """
        waiting, entered = [b""], set()
        while waiting:
            inside = waiting.pop()
            folder = os.path.join(self._folder, inside)
            place = os.stat(folder)
            if (place.st_dev, place.st_ino) in entered or os.path.realpath(folder) == self._without:
                continue
            entered.add((place.st_dev, place.st_ino))
            subfolders: list[bytes] = []
            yield from self._pictures(inside, subfolders)
            waiting.extend(sorted(subfolders, reverse=True))

    def read(self, name: bytes) -> bytes:
        """The file of a name; an absolute one is taken as it is."""
        path = os.path.join(self._folder, name)
        try:
            about = os.stat(path)
            if not stat.S_ISREG(about.st_mode):  # opening a pipe would wait for ever
                raise ImageError("it is not a file")
            DEFAULT_LIMITS.check_bytes(about.st_size)
            with open(path, "rb", buffering=0) as file:
                return file.read()
        except OSError as error:
            raise ImageError(f"it cannot be read: {error.strerror}") from None

    def _pictures(self, inside: bytes, subfolders: list[bytes]) -> Iterator[bytes]:
        """The pictures right in one folder; the folders in it go to `subfolders`."""
        found: list[bytes] = []
        with os.scandir(os.path.join(self._folder, inside)) as entries:
            for entry in entries:
                if entry.name.startswith(b"."):
                    continue
                name = os.path.join(inside, entry.name)
                if entry.is_dir():
                    subfolders.append(name)
                elif _is_picture(name, self.left_out):
                    found.append(name)
                if len(found) == SORTED_AT_ONCE:
                    yield from sorted(found)
                    found.clear()
        yield from sorted(found)


class OneFile(FileInput):
    """A single picture."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._name = os.fsencode(path.name)

    def names(self) -> Iterator[bytes]:
        """Its name."""
        yield self._name


class ListInput(FileInput):
    """A text file with a path on each line, relative to that file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._path = path

    def names(self) -> Iterator[bytes]:
        """The lines as they are; blank ones are passed over."""
        with self._path.open("rb") as lines:
            for line in lines:
                if name := line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n"):
                    yield name


class S3Input:
    """Objects below `folder`: all pictures, or those that somebody `listed`."""

    def __init__(self, s3: S3, folder: S3Uri, listed: list[bytes] | None = None) -> None:
        self.left_out: Counter[str] = Counter()
        self.folder = folder
        self.num_hidden = self.largest_bytes = 0  # of what was listed so far
        self._s3, self._listed = s3, listed

    def names(self) -> Iterator[bytes]:
        """Keys without the folder's, in S3's order."""
        if self._listed is not None:
            yield from self._listed
            return
        for item in self._s3.objects(self.folder):
            name = item.key[len(self.folder.key) :].encode()
            if not name or name.endswith(b"/"):  # what consoles make in the place of a folder
                continue
            if any(part.startswith(b".") for part in name.split(b"/")):
                self.num_hidden += 1
            elif _is_picture(name, self.left_out):
                self.largest_bytes = max(self.largest_bytes, item.num_bytes)
                yield name

    def read(self, name: bytes) -> bytes:
        """The object's bytes. Raises AwsError when S3 cannot be asked at all."""
        try:
            return self._s3.read(self.folder.join(name.decode()))
        except AwsError as error:
            if error.code in OBJECT_CODES:
                raise ImageError(f"it cannot be read: S3 says {error.code}") from None
            raise


def find_input(source: str, connections: int, *, without: Path | None = None) -> TransformInput:
    """What `source` names. `without` is a folder that is never looked into: the result's.

    Raises UsageError when there is no such thing.
    """
    if source.startswith(SCHEME):
        return _find_in_s3(S3Uri.parse(source), S3(connections))
    path = Path(source)
    if path.is_dir():
        return FileInput(path, without=without)
    if not path.is_file():
        raise UsageError(f"{source} does not exist: give a folder, a picture, a list or s3://...")
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        folder, names = _read_manifest(path.read_bytes(), source)
        return S3Input(S3(connections), folder, names)
    return ListInput(path) if path.suffix.lower() in LIST_SUFFIXES else OneFile(path)


def _find_in_s3(uri: S3Uri, s3: S3) -> S3Input:
    """A prefix, one picture, or a manifest."""
    if not uri.key or uri.key.endswith("/") or not s3.exists(uri):
        return S3Input(s3, uri.folder())
    if Path(uri.key).suffix.lower() in MANIFEST_SUFFIXES:
        return S3Input(s3, *_read_manifest(s3.read(uri), str(uri)))
    return S3Input(s3, uri.parent(), [uri.key.rpartition("/")[2].encode()])


def _read_manifest(text: bytes, source: str) -> tuple[S3Uri, list[bytes]]:
    """SageMaker's ManifestFile: `[{"prefix": "s3://bucket/folder/"}, "a.jpg", ...]`."""
    try:
        first, *names = json.loads(text)
        uri = S3Uri.parse(first["prefix"])
        # The prefix is put before the names as it is, with or without a slash.
        rest = uri.key[len(uri.parent().key) :]
        return uri.parent(), [(rest + name).encode() for name in names]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(
            f'{source} is no manifest: expected [{{"prefix": "s3://BUCKET/PREFIX"}}, "NAME", ...]'
        ) from None


def _is_picture(name: bytes, left_out: Counter[str]) -> bool:
    """By name, in folders and below prefixes; what a list names is sent whatever it is called."""
    text = os.fsdecode(name)
    if is_picture_name(text):
        return True
    left_out[os.path.splitext(text)[1].lower() or "no suffix"] += 1
    return False

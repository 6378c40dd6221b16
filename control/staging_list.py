"""Staging list: which objects of an S3 prefix become which files of a channel."""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from contract.errors import ChannelError
from contract.shards import is_inside
from control.s3 import S3, S3Object, S3Uri

MOST_NAME_BYTES = 255  # of one part of a path, on every common file system
Files = dict[str, S3Object]  # relative name with slashes -> object


def list_files(s3: S3, uri: S3Uri) -> Files:
    """What lies below `uri`, or is it, by the names that the files get. Markers of folders are
    passed over.

    Raises ChannelError: nothing there, or a key that cannot be a file beside the others. AwsError.
    """
    found: Files = {}
    if uri.key and not uri.key.endswith("/"):
        # `dogs` may be an object, the first that is listed. `dogs2/a.jpg` is none of ours.
        first = next(s3.objects(uri), None)
        found = {uri.key.split("/")[-1]: first} if first and first.key == uri.key else {}
    if not found:
        skip = len(uri.folder().key)
        items = s3.objects(uri.folder())
        found = {item.key[skip:]: item for item in items if not is_marker(item.key, skip)}
    if not found:
        raise ChannelError(f"{uri} holds no object: look with `aws s3 ls {uri.folder()}`")
    check_names(uri, found)
    return found


def is_marker(key: str, skip: int) -> bool:
    """True for the empty objects that consoles and Hadoop make to show a folder."""
    return len(key) == skip or key.endswith(("/", "_$folder$"))


def check_names(uri: S3Uri, names: Iterable[str]) -> None:
    """Raises ChannelError: a name that leads out of the folder, or is a file and a folder too."""
    known = set(names)
    for name in sorted(known):
        if not is_inside(name):
            raise _refused(uri, name, "leads out of the channel, or has an empty part")
        *folders, _ = parts = name.split("/")
        if any(len(part.encode()) > MOST_NAME_BYTES for part in parts):
            raise _refused(uri, name, f"is longer than {MOST_NAME_BYTES} bytes")
        for depth in range(1, len(folders) + 1):
            if (folder := "/".join(folders[:depth])) in known:
                raise _refused(uri, folder, "is an object and a folder of others too")


def check_clashes(uri: S3Uri, names: Sequence[str], folder: Path) -> None:
    """Raises ChannelError where two names would be one file: not every disk sees upper case."""
    if _tells_case(folder):
        return
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if first != name:
            raise _refused(uri, name, f"is the same file as {first!r} on this disk")


def _tells_case(folder: Path) -> bool:
    probe = folder / ".probe"
    probe.touch()
    try:
        return not (folder / ".PROBE").exists()
    finally:
        probe.unlink(missing_ok=True)


def _refused(uri: S3Uri, name: str, why: str) -> ChannelError:
    return ChannelError(
        f"{uri.folder()}: the key {name!r} {why}: rename or remove it, or give another prefix"
    )

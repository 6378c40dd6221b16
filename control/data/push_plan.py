"""Push plan: what of a folder goes where in S3, before anything is sent."""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.channel_files import is_picture_name
from contract.errors import DataError, UsageError
from contract.shards import is_shard_name, read_shard
from control.data.layout import Layout, layout_of
from control.pack_plan import Item, PackPlan, visible_files
from control.s3 import S3Uri

MANIFEST = ".kennel-manifest.json"  # hidden: no reader of class folders sees it
MOST_KEY_BYTES = 1024  # Source: Amazon S3 user guide, Object key names
MOST_FILE_BYTES = 5 << 40  # Source: Amazon S3 user guide, multipart upload limits
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
Counts = Mapping[str, Mapping[str, int]]  # channel -> label -> pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPlan:
    """The files of one folder and their addresses."""

    folder: Path
    uri: S3Uri  # a folder's: its key is empty or ends with a slash
    items: tuple[Item, ...]  # names are relative to both
    pictures: Counts
    channels: Mapping[str, str]  # channel -> s3://..., as a job's [aws.channels] names it
    kinds: Mapping[str, int]  # suffix -> files that are neither pictures nor shards
    packed: bool = False

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(item.num_bytes for item in self.items)

    @property
    def num_pictures(self) -> int:
        """In class folders, those in shards included."""
        return sum(sum(labels.values()) for labels in self.pictures.values())

    def manifest(self) -> bytes:
        """What stands in S3 beside the pictures. Without a date: the same push, the same bytes."""
        document = {
            "format": 1,
            "files": len(self.items),
            "bytes": self.num_bytes,
            "packed": self.packed,
            "channels": {
                channel: {
                    "uri": uri,
                    "pictures": sum(self.pictures.get(channel, {}).values()),
                    "classes": dict(self.pictures.get(channel, {})),
                }
                for channel, uri in self.channels.items()
            },
            "other_files": dict(self.kinds),
        }
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def plan_push(folder: Path, uri: S3Uri) -> PushPlan:
    """List what a folder holds. Hidden names are passed over, links are followed inside of it.

    Raises UsageError: nothing there. DataError: a name that S3 cannot have, a link that leads out,
    a damaged shard.
    """
    items = tuple(sorted(visible_files(folder)))
    if not items:
        raise UsageError(f"{folder} holds no file: give a folder of class folders of pictures")
    _check(folder, uri, items)
    names, shards = [], []
    for item in items:
        if is_picture_name(item.name):
            names.append(item.name)
        elif is_shard_name(os.path.basename(item.name)):
            shards.append(item.name)
            inside = os.path.dirname(item.name)
            members = read_shard(folder / item.name).members
            names += [os.path.join(inside, member.name) for member in members]
    known = set(shards)
    kinds = Counter(
        os.path.splitext(item.name)[1].lower() or "no suffix"
        for item in items
        if not is_picture_name(item.name) and item.name not in known
    )
    return _plan(folder, uri, items, (names, kinds))


def planned_pack(folder: Path, uri: S3Uri, plan: PackPlan) -> PushPlan:
    """What a push of the shards of `plan` would be, before they are made: for --show."""
    names = [item.name for shard in plan.shards for item in shard.items]
    shards = [
        Item(shard.name, sum(item.num_bytes for item in shard.items), 0) for shard in plan.shards
    ]
    items = tuple(sorted([*shards, *plan.manifests]))
    _check(folder, uri, items)
    return _plan(folder, uri, items, (names, Counter()))


def _plan(
    folder: Path,
    uri: S3Uri,
    items: tuple[Item, ...],
    found: tuple[Sequence[str], Mapping[str, int]],
) -> PushPlan:
    names, kinds = found
    layout = layout_of(names)
    shards = [item.name for item in items if is_shard_name(os.path.basename(item.name))]
    return PushPlan(
        folder=folder,
        uri=uri,
        items=items,
        pictures=layout.counts(names),
        channels=_channels(uri, layout, items, shards),
        kinds=kinds,
        packed=bool(shards),
    )


def _check(folder: Path, uri: S3Uri, items: Sequence[Item]) -> None:
    for item in items:
        try:
            length = len(f"{uri.key}{item.name}".encode())
        except UnicodeEncodeError:
            raise DataError(
                f"{str(folder / item.name)!r}: its name is not UTF-8, and keys in S3 are: rename it"
            ) from None
        if length > MOST_KEY_BYTES:
            raise DataError(
                f"{folder / item.name}: its key would have {length:,} bytes, and S3 allows "
                f"{MOST_KEY_BYTES:,}: rename it, or push to a shorter prefix"
            )
        if item.num_bytes > MOST_FILE_BYTES:
            raise DataError(f"{folder / item.name} has {item.num_bytes:,} bytes: over 5 TiB")


def _channels(
    uri: S3Uri, layout: Layout, items: Sequence[Item], shards: Sequence[str]
) -> dict[str, str]:
    """Channel -> address; none when nothing there is what a training reads."""
    folders = dict(layout.folders)
    if shards:
        # A channel is a folder of shards, whatever the folders are that their members are in.
        places = {f"{os.path.dirname(name)}/".lstrip("/") for name in shards}
        folders = folders if set(folders.values()) <= places else {"train": ""}
    elif not any(is_picture_name(item.name) or _ARCHIVE.search(item.name) for item in items):
        return {}
    # A closing slash: SageMaker takes every key that begins so, and `dogs` begins `dogs2`, too.
    return {channel: f"{uri}{below}" for channel, below in folders.items()}

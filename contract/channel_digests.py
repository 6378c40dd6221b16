"""Channel digests: which pictures a study is about, wherever they lie on each of its hosts."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.channel_files import is_hidden
from contract.job import PICTURE_CHANNELS, Channel


def digests_of(channels: Mapping[str, Channel]) -> dict[str, str]:
    """For each channel of pictures 16 hex digits of its files' names and sizes.

    Contents are not read: that would take as long as training. Where each host has a part of a
    channel, hosts differ rightly.
    """
    return {
        name: "in parts" if one.distribution == "ShardedByS3Key" else _digest(one.path)
        for name, one in channels.items()
        if name in PICTURE_CHANNELS
    }


def _digest(root: Path) -> str:
    lines = sorted(f"{name}\0{size}\n" for name, size in _files(root))
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]


def _files(root: Path) -> Iterator[tuple[str, int]]:
    if root.is_file():  # an archive or a manifest; SageMaker would have it in a folder of its own
        yield root.name, root.stat().st_size
        return
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [
            name
            for name in folders
            if not is_hidden(name) and not _leads_up(os.path.join(folder, name), real)
        ]
        for name in names:
            path = os.path.join(folder, name)
            # What cannot be read is told by whoever reads the channel.
            if not is_hidden(name) and os.path.exists(path):
                yield os.path.relpath(path, root), os.path.getsize(path)


def _leads_up(path: str, folder: str) -> bool:
    """Whether `path`, in the real `folder`, is a link in a circle."""
    return os.path.islink(path) and f"{folder}/".startswith(f"{os.path.realpath(path)}/")

"""Hold-out: validation pictures taken from training when a job brings none."""

import hashlib
import os
from pathlib import Path

from contract.files import write_json
from train.data import Picture, Split


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Take `share` of every class out of `split`: (train, validation).

    A class of n >= 2 pictures gives round(share * n), at least 1 and at most n - 1; a class of
    one picture keeps it. A picture's draw depends on the seed, its class and its name alone: not
    on where the channel lies, nor on the order of the directory. Adding pictures to a channel
    therefore moves few of the others.
    """
    root = common_folder(split)
    by_class: dict[int, list[Picture]] = {}
    for picture in split.pictures:
        by_class.setdefault(picture.class_index, []).append(picture)
    chosen: set[Path] = set()
    for pictures in by_class.values():
        # Half of a picture is rounded up: Python's round() would go to the even number.
        count = min(max(int(share * len(pictures) + 0.5), 1), len(pictures) - 1)
        ranked = sorted(pictures, key=lambda item: (_draw(item.path, root, seed), item.path))
        chosen.update(picture.path for picture in ranked[:count])
    kept = tuple(picture for picture in split.pictures if picture.path not in chosen)
    taken = tuple(picture for picture in split.pictures if picture.path in chosen)
    return Split(name=split.name, pictures=kept), Split(name="validation", pictures=taken)


def write_holdout(path: Path, split: Split) -> None:
    """Save which pictures were held out, named relative to their common folder."""
    root = common_folder(split)
    write_json(
        path,
        {
            "split": split.name,
            "folder": str(root),
            "pictures": [
                {"file": _relative(picture.path, root), "class_index": picture.class_index}
                for picture in split.pictures
            ],
        },
    )


def common_folder(split: Split) -> Path:
    """The deepest folder above all pictures of `split`; `.` when it has none."""
    folders = {str(picture.path.parent) for picture in split.pictures}
    return Path(os.path.commonpath(folders)) if folders else Path()


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _draw(path: Path, root: Path, seed: int) -> bytes:
    """A random-looking number that only the seed and the relative name decide."""
    text = f"{seed}/{_relative(path, root)}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()

"""Deal the pictures of a data set anew: as many of each class in each split, but others.

Five seeds on one set of 158 test pictures share what is particular to these pictures: their spread
says nothing about it. With splits of their own they do not.
"""

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path


def deal(channels: Mapping[str, Path], folder: Path, seed: int) -> dict[str, Path]:
    """The same channels below `folder`, class by class shuffled and divided as before.

    `channels` hold class folders with the same names; they are read only.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shuffle = random.Random(seed)
    labels = sorted({one.name for root in channels.values() for one in root.iterdir()})
    for label in labels:
        pictures = {name: _pictures(root / label) for name, root in channels.items()}
        mixed = sorted((one for some in pictures.values() for one in some), key=lambda p: str(p))
        shuffle.shuffle(mixed)
        for name, some in pictures.items():
            (folder / name / label).mkdir(parents=True, exist_ok=True)
            for _ in some:
                picture = mixed.pop()
                # Splits may have pictures of one name.
                target = folder / name / label / f"{picture.parent.parent.name}-{picture.name}"
                _link(picture, target)
    return {name: folder / name for name in channels}


def _pictures(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_file()) if folder.is_dir() else []


def _link(source: Path, target: Path) -> None:
    """A hard link where the disk is the same, for it costs nothing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

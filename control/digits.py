"""The demo's pictures: scikit-learn's 1,797 handwritten digits as class folders of PNGs.

The only file here that imports scikit-learn, numpy and Pillow, and only while it writes.
"""

import os
import random
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from contract.errors import HostError
from contract.files import cannot_write

SIDE_PX = 32  # the originals are 8 x 8: scaled up once here, so that a person sees something
SHARES = (("test", 0.15), ("validation", 0.15))  # the rest is the train channel
DIGIT_MAXIMUM = 16  # brightest value in the data set


def write_digits(folder: Path, seed: int = 0) -> Path:
    """Write train/, validation/ and test/ below `folder`, once; same seed, same split.

    The folder appears in one step: when it exists, it is complete.
    Raises HostError when scikit-learn is missing, or the disk is full.
    """
    if folder.is_dir():
        return folder
    unfinished: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        _write_splits(unfinished, seed)
        unfinished.chmod(0o755)
        os.replace(unfinished, folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _write_splits(folder: Path, seed: int) -> None:
    try:
        from PIL import Image
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise HostError(f"{error.name} is not installed: run `make setup`") from None
    data = load_digits()
    indices_by_digit: dict[int, list[int]] = defaultdict(list)
    for index, digit in enumerate(data.target):
        indices_by_digit[int(digit)].append(index)
    for digit, indices in sorted(indices_by_digit.items()):
        for split, chosen in _split(indices, seed).items():
            place = folder / split / str(digit)
            place.mkdir(parents=True)
            for index in chosen:
                pixels = (data.images[index] * (255 / DIGIT_MAXIMUM)).round().astype("uint8")
                picture = Image.fromarray(pixels).resize(
                    (SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC
                )
                picture.save(place / f"{index:04d}.png")


def _split(indices: list[int], seed: int) -> dict[str, list[int]]:
    shuffled = list(indices)
    random.Random(seed).shuffle(shuffled)
    splits: dict[str, list[int]] = {}
    for name, share in SHARES:
        count = round(len(indices) * share)
        splits[name], shuffled = shuffled[:count], shuffled[count:]
    splits["train"] = shuffled
    return splits

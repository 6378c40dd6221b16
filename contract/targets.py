"""Targets: the models below one folder, by the names that callers know them by.

As on a multi-model endpoint: the name is the path relative to the folder, `dogs/v2.tar.gz` say.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from contract.manifest import MANIFEST_NAME
from contract.opt_ml import OptMl

ARCHIVE_ENDING = ".tar.gz"
CODE = Path("code", "inference.py")
DEEPEST = 6  # folders below the first one
MOST_ENTRIES = 20_000  # files and folders looked at; a model's own are not


def find_targets(root: Path) -> dict[str, Path]:
    """Every model below `root`, by name: its folder, or its model.tar.gz.

    A model's folder holds bundle.json or code/inference.py, itself or in `model/` as a run's
    does. What lies in it is not looked at, nor is anything hidden. Links made by whoever filled
    the folder count as what they point to, but are not searched.

    Raises OSError: `root` cannot be listed.
    """
    found = {}
    for number, path in enumerate(_walk(root, DEEPEST)):
        if (model := _model_of(path)) is not None:
            found[path.relative_to(root).as_posix()] = model
        if number >= MOST_ENTRIES:
            break
    return dict(sorted(found.items()))


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """What is below `folder`, level by level, without looking into models."""
    deeper = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            yield path
            if entry.is_dir(follow_symlinks=False) and _model_of(path) is None:
                deeper.append(path)
    for path in deeper if depth > 1 else ():
        try:
            yield from _walk(path, depth - 1)
        except PermissionError:
            continue  # somebody else's; it cannot be served either


def _model_of(path: Path) -> Path | None:
    """The model that a path stands for."""
    if path.name.endswith(ARCHIVE_ENDING):
        return path if path.is_file() else None
    for folder in (path, OptMl(path).model_dir):
        if (folder / MANIFEST_NAME).is_file() or (folder / CODE).is_file():
            return folder
    return None

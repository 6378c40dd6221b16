"""Augmented manifests: JSON Lines with one picture and its label a line, as Ground Truth writes.

    {"source-ref": "s3://b/dogs/7.jpg", "breed": 3, "breed-metadata": {"class-name": "Beagle"}}

Source: SageMaker developer guide, augmented-manifest and sms-data-output.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import ChannelError, DataError
from contract.labels import Labels
from train.folders import Tree

MANIFEST_ENDINGS = (".manifest", ".jsonl")
NamedPicture = tuple[str, Path]  # label, file

_REFERENCE_NAMES = ("source-ref", "image-ref")
_LABEL_NAMES = ("label", "class")  # chosen first where several attributes could be the label
_SHOWN = 5  # how many missing files an error names
_Line = tuple[int, dict[str, Any]]


def is_augmented_manifest(path: Path) -> bool:
    """True when the name fits and the first line refers to a picture.

    Other tools keep other JSON Lines beside pictures; those are not ours to read.
    """
    if not path.name.lower().endswith(MANIFEST_ENDINGS):
        return False
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = json.loads(next((line for line in file if line.strip()), "null"))
    except (OSError, ValueError):
        first = None
    # A broken .manifest is still one: reading it says what is wrong.
    return path.suffix.lower() == ".manifest" or _reference(first) is not None


def read_augmented_manifest(path: Path, tree: Tree) -> tuple[list[NamedPicture], list[str]]:
    """The labelled pictures that `path` lists, and notes on lines that were passed over.

    A reference is matched to the file below `tree` that shares the longest end of its path.

    Raises:
        DataError: a malformed line, an unclear label, a reference whose file is missing or
            could be several; the message has the line number.
    """
    lines = _read_lines(path)
    attribute = _label_attribute(path, lines)
    finder = _Finder(tree)
    found: dict[Path, str] = {}
    missing: list[str] = []
    skipped: Counter[str] = Counter()
    for number, record in lines:
        where = f"{path}, line {number}"
        reference = _reference(record)
        if reference is None:
            raise DataError(f"{where}: expected source-ref with the picture's address, got none")
        if attribute not in record:
            skipped["lines without a label"] += 1
            continue
        label = _label(where, attribute, record)
        file = finder.find(where, reference)
        if file is None:
            missing.append(reference)
        elif found.setdefault(file, label) != label:
            raise DataError(f"{where}: {reference} is {label!r} here and {found[file]!r} before")
    if missing:
        raise DataError(_missing_files(path, tree, missing))
    named = sorted(((label, file) for file, label in found.items()), key=lambda item: item[1])
    return named, [f"{path.name}: {count} {what} passed over" for what, count in skipped.items()]


def _read_lines(path: Path) -> list[_Line]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ChannelError(f"{path} cannot be read: {error}") from error
    lines: list[_Line] = []
    # Not splitlines(): JSON strings may hold U+2028, which that would split at.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number}: expected an object, got {line.strip()[:60]!r}")
        lines.append((number, record))
    if not lines:
        raise ChannelError(f"{path} is empty: expected one JSON object a line, with source-ref")
    return lines


def _reference(record: Any) -> str | None:
    if not isinstance(record, Mapping):
        return None
    values = (record.get(name) for name in _REFERENCE_NAMES)
    return next((value for value in values if isinstance(value, str) and value), None)


def _label_attribute(path: Path, lines: list[_Line]) -> str:
    """The one attribute that can be the label, judged over all lines."""
    candidates: dict[str, bool] = {}  # name -> its metadata says image classification
    for _, record in lines:
        for name, value in record.items():
            if name.endswith(("-metadata", "-ref")) or not isinstance(value, int | str | list):
                continue
            metadata = record.get(f"{name}-metadata")
            kind = str(metadata.get("type", "")) if isinstance(metadata, Mapping) else ""
            classified = kind.startswith("groundtruth/image-classification")
            candidates[name] = candidates.get(name, False) or classified
    for choice in (
        [name for name, classified in candidates.items() if classified],
        [name for name in _LABEL_NAMES if name in candidates],
        list(candidates),
    ):
        if len(choice) == 1:
            return choice[0]
    raise DataError(
        f"{path}: expected one label attribute a line beside source-ref, got "
        f"{', '.join(sorted(candidates)) or 'none'}: leave only the label in"
    )


def _label(where: str, attribute: str, record: Mapping[str, Any]) -> str:
    """The class name: from the metadata when it is there, else the value itself."""
    value = record[attribute]
    metadata = record.get(f"{attribute}-metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    if isinstance(value, list):
        if len(value) != 1:
            raise DataError(f"{where}: expected one label, got {len(value)} in {attribute!r}")
        value = value[0]
    class_map = metadata.get("class-map")
    named = metadata.get("class-name")
    if named is None and isinstance(class_map, Mapping):
        named = class_map.get(str(value))
    label = value if named is None else named
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise DataError(f"{where}: expected {attribute!r} to be text or an integer, got {label!r}")
    name = unicodedata.normalize("NFC", str(label))
    try:
        Labels((name,))
    except DataError as error:
        raise DataError(f"{where}: {error}; rename the class") from None
    return name


def _missing_files(path: Path, tree: Tree, missing: list[str]) -> str:
    shown = ", ".join(missing[:_SHOWN])
    more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
    return (
        f"{path}: {len(missing):,} pictures are listed but not below {tree.root}: {shown}{more}; "
        "put them into the channel beside the manifest"
    )


class _Finder:
    """Files of a channel by the ends of their paths."""

    def __init__(self, tree: Tree) -> None:
        self._by_name: dict[str, list[Path]] = {}
        self._root = tree.root
        for file in tree.files_below(tree.root):
            self._by_name.setdefault(unicodedata.normalize("NFC", file.name), []).append(file)

    def find(self, where: str, reference: str) -> Path | None:
        """The file that shares the longest path end with `reference`; None when there is none."""
        wanted = unicodedata.normalize("NFC", reference).split("/")
        candidates = self._by_name.get(wanted[-1], [])
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        shared = [_shared_end(wanted, self._parts(path)) for path in candidates]
        best = [
            path for path, length in zip(candidates, shared, strict=True) if length == max(shared)
        ]
        # s3://b/dogs/7.jpg is dogs/7.jpg rather than old/dogs/7.jpg when both are there.
        best = [path for path in best if len(self._parts(path)) == max(shared)] or best
        if len(best) > 1:
            raise DataError(
                f"{where}: {reference} could be {best[0]} or {best[1]}: "
                "keep the folders of source-ref below the channel"
            )
        return best[0]

    def _parts(self, path: Path) -> list[str]:
        relative = path.relative_to(self._root).as_posix()
        return unicodedata.normalize("NFC", relative).split("/")


def _shared_end(left: list[str], right: list[str]) -> int:
    """How many path parts agree, counted from the end."""
    pairs = zip(reversed(left), reversed(right), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))

"""Classes: those that are empty, missing, unknown, tiny, or much larger than others."""

import math
from collections.abc import Iterator, Mapping

from control.data.pictures import Gallery
from control.data.trouble import Thresholds, Trouble, some


def troubles_of_classes(
    gallery: Gallery, counts: Mapping[str, Mapping[str, int]], thresholds: Thresholds
) -> Iterator[Trouble]:
    """`counts` are those of pictures that can be read: split -> label -> pictures."""
    known = {
        split: {one.label for one in gallery.pictures if one.split == split and one.label}
        for split in gallery.layout.folders
    }
    hollow = [
        f"{gallery.layout.folders[split]}{label}"
        for split, labels in known.items()
        for label in sorted(labels)
        if not counts[split].get(label)
    ]
    empty = sorted({*gallery.empty_classes, *hollow})
    if empty:
        yield Trouble("empty", f"{len(empty):,} class folders hold no picture", len(empty), empty)
    if "train" not in known:
        return
    yield from _beside_train(known)
    yield from _of_sizes(counts["train"], thresholds)


def balance(counts: Mapping[str, int]) -> tuple[float, float]:
    """(largest class to smallest, effective number of classes: e to the entropy)."""
    sizes = [count for count in counts.values() if count]
    if not sizes:
        return 1.0, 0.0
    total = sum(sizes)
    entropy = -sum(size / total * math.log(size / total) for size in sizes)
    return max(sizes) / min(sizes), math.exp(entropy)


def _beside_train(known: Mapping[str, set[str]]) -> Iterator[Trouble]:
    for split in known:
        unknown = sorted(known[split] - known["train"])
        if unknown:
            text = f"{split} holds {len(unknown):,} classes that train lacks: {some(unknown)}"
            yield Trouble("unknown", text, len(unknown), unknown)
        missing = sorted(known["train"] - known[split])
        if missing:
            text = f"{split} lacks {len(missing):,} classes of train: {some(missing)}"
            yield Trouble("missing", text, len(missing), missing)
    if len(known["train"]) < 2:
        yield Trouble("label", "train needs two classes at least", 1, sorted(known["train"]))


def _of_sizes(train: Mapping[str, int], thresholds: Thresholds) -> Iterator[Trouble]:
    tiny = sorted(label for label, count in train.items() if 0 < count < thresholds.least_pictures)
    if tiny:
        text = (
            f"{len(tiny):,} classes have fewer than {thresholds.least_pictures} pictures in train: "
            f"{some(tiny)}"
        )
        yield Trouble("tiny", text, len(tiny), tiny)
    ratio, effective = balance(train)
    if ratio > thresholds.most_ratio:
        ranked = sorted(train, key=lambda label: (-train[label], label))
        text = (
            f"the largest class of train ({ranked[0]}, {train[ranked[0]]:,}) has {ratio:,.0f} "
            f"times the pictures of the smallest ({ranked[-1]}, {train[ranked[-1]]:,}); as even as "
            f"{effective:,.1f} of {len(train):,} classes"
        )
        yield Trouble("imbalance", text, 1, [ranked[0], ranked[-1]])

"""Precision, recall and F1 of every class, and per_class.csv."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.files import write_text
from contract.labels import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """One class. None where there is nothing to divide by: an honest gap instead of a zero."""

    label: str
    precision: float | None  # None: never predicted
    recall: float | None  # None: no pictures of it
    f1: float | None  # None: neither
    support: int  # its pictures


def score_classes(matrix: NDArray[np.int64], labels: Labels) -> list[ClassScore]:
    """Scores in label order, from a confusion matrix (rows true, columns predicted)."""
    right, predicted, support = np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return [
        ClassScore(
            label=label,
            precision=_share(right[i], predicted[i]),
            recall=_share(right[i], support[i]),
            f1=_share(2 * right[i], predicted[i] + support[i]),
            support=int(support[i]),
        )
        for i, label in enumerate(labels.names)
    ]


def mean_f1(scores: list[ClassScore]) -> float | None:
    """Macro F1 over the classes that have pictures."""
    values = [score.f1 for score in scores if score.support and score.f1 is not None]
    return sum(values) / len(values) if values else None


def write_class_report(path: Path, scores: list[ClassScore]) -> None:
    """One row a class, in label order; undefined scores are empty cells."""
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["label", "precision", "recall", "f1", "support"])
    for score in scores:
        cells = (score.precision, score.recall, score.f1)
        shares = ["" if cell is None else f"{cell:.6f}" for cell in cells]
        table.writerow([score.label, *shares, score.support])
    write_text(path, buffer.getvalue())


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None

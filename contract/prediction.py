"""Prediction: what the classifier says about one picture, with names, never bare numbers."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One picture's answer: `probabilities` sums to 1, in the order of `labels`."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    top_k: int = 5

    def ranked(self) -> list[tuple[str, float]]:
        """(label, probability), most likely first; ties keep the labels' order."""
        order = sorted(range(len(self.labels)), key=lambda i: -self.probabilities[i])
        return [(self.labels[i], self.probabilities[i]) for i in order]

    @property
    def label(self) -> str:
        """The most likely label."""
        return self.labels[max(range(len(self.labels)), key=self.probabilities.__getitem__)]

    @property
    def probability(self) -> float:
        """Its probability."""
        return max(self.probabilities)

    def to_json(self) -> dict[str, Any]:
        """`{"label", "probability", "top": [{"label", "probability"} ...]}`."""
        # The first of self.ranked(), without sorting a thousand labels for five.
        best = heapq.nlargest(self.top_k, range(len(self.labels)), self.probabilities.__getitem__)
        top = [{"label": self.labels[i], "probability": self.probabilities[i]} for i in best]
        return {**top[0], "top": top}

    def to_verbose_json(self) -> dict[str, Any]:
        """The form of AWS's JumpStart models: every probability, in label order."""
        return {
            "probabilities": list(self.probabilities),
            "labels": list(self.labels),
            "predicted_label": self.label,
        }


def predictions_from_rows(
    rows: Sequence[Sequence[float]], labels: tuple[str, ...], top_k: int
) -> list[Prediction]:
    """One Prediction a row of probabilities (pictures x classes)."""
    return [Prediction(labels=labels, probabilities=tuple(row), top_k=top_k) for row in rows]

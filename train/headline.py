"""Headline: the few figures that the report opens with."""

import math

import numpy as np

from contract.page import Tile
from train.run_report import Evaluation, RunReport

_Z = 1.96  # of the normal distribution: 95 %


def build_tiles(run: RunReport, macro_f1: float | None) -> list[Tile]:
    """Accuracy of each split, the last one first, then top-5, F1 and the baseline."""
    tiles = [_accuracy(evaluation) for evaluation in reversed(run.evaluations)]
    if run.evaluations and len(run.evaluations[-1].pictures):
        last = run.evaluations[-1]
        if len(run.labels) > 10:
            tiles.append(
                Tile(
                    name="Top-5 accuracy",
                    value=f"{top_k_accuracy(last, 5):.3f}",
                    note="the label is among the first five",
                )
            )
        if macro_f1 is not None:
            tiles.append(
                Tile(name="Macro F1", value=f"{macro_f1:.3f}", note="each class counts the same")
            )
        share = np.bincount(last.targets).max() / len(last.targets)
        tiles.append(
            Tile(name="Baseline", value=f"{share:.3f}", note="always the most frequent label")
        )
    return tiles


def top_k_accuracy(evaluation: Evaluation, k: int) -> float:
    """Share of pictures with at most k - 1 classes more likely than their own."""
    every = np.arange(len(evaluation.pictures))
    own = evaluation.probabilities[every, evaluation.targets][:, None]
    return float(((evaluation.probabilities > own).sum(axis=1) < k).mean())


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share. Source: Wilson, 1927; sound for few trials too."""
    share = successes / trials
    centre = share + _Z**2 / (2 * trials)
    spread = _Z * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    scale = 1 + _Z**2 / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _accuracy(evaluation: Evaluation) -> Tile:
    num = len(evaluation.pictures)
    name = f"{evaluation.split.capitalize()} accuracy"
    if not num:
        return Tile(name=name, value="none", note="no pictures")
    low, high = wilson_interval(evaluation.num_correct, num)
    return Tile(
        name=name,
        value=f"{evaluation.num_correct / num:.3f}",
        note=f"{evaluation.num_correct:,} of {num:,}; 95 % interval {low:.3f} to {high:.3f}",
    )

"""RunReport: everything that the report of one run is drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contract.labels import Labels
from train.data import Picture
from train.metrics_file import EpochRow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What the kept network answered for N pictures of one split, over K classes."""

    split: str
    pictures: tuple[Picture, ...]  # N
    targets: NDArray[np.int64]  # (N,) class indices
    probabilities: NDArray[np.float32]  # (N, K), rows sum to 1

    def __post_init__(self) -> None:
        num = len(self.pictures)
        assert self.targets.shape == (num,), self.targets.shape
        assert self.probabilities.ndim == 2, self.probabilities.shape
        assert self.probabilities.shape[0] == num, self.probabilities.shape

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the most likely class index; ties go to the smaller one."""
        return self.probabilities.argmax(axis=1)

    @property
    def num_correct(self) -> int:
        """Pictures whose most likely class is their own."""
        return int((self.predicted == self.targets).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunReport:
    """One run, told to a person."""

    title: str
    labels: Labels
    rows: Sequence[EpochRow]
    best_epoch: int  # the epoch whose weights were kept, from 1; 0 when none was
    evaluations: tuple[Evaluation, ...]  # the last one is looked at closely
    facts: dict[str, str] = field(default_factory=dict)  # device, arch, seconds, ...
    settings: dict[str, str] = field(default_factory=dict)  # the resolved hyperparameters
    unreadable: tuple[tuple[str, str], ...] = ()  # (path, reason)
    metrics: dict[str, float] = field(default_factory=dict)  # as reported, by metric name

"""Learner: one way of training a Start on JobData. Two of them: HeadLearner, NetworkLearner."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from classifier.network import Network
from classifier.trunk_graph import TrunkGraph
from contract.hyperparameters import Hyperparameters
from train.data import Picture, Split
from train.frozen import FrozenTrunk
from train.loop import Task
from train.scoring import Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The scores of one split and the pictures they belong to, in the same order."""

    split: str
    pictures: tuple[Picture, ...]
    scores: Scores


class Learner(Protocol):
    """What process.py needs of a way of training."""

    trains_together: bool  # all processes of a group train; otherwise the leader alone
    values: Hyperparameters
    network: Network  # finished after `finish`
    task: Task  # of a HeadLearner that does not lead: there is none
    int8: TrunkGraph | None  # the trunk that the head was trained on, if not the network's own
    frozen: FrozenTrunk | None  # None: the trunk learns, too
    unreadable: list[tuple[str, str]]  # path and reason, over all splits

    def finish(self, best_state: dict[str, Tensor]) -> Network:
        """The whole network with the best weights, on the CPU."""
        ...

    def judge(self, split: Split, known: Scores | None = None) -> Judged:
        """Score the finished network on a split, unless its scores are `known`."""
        ...

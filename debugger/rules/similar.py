"""SimilarAcrossRuns: a tensor beside that of another run."""

import numpy as np

from contract.errors import SpecError
from contract.rule_result import Finding
from contract.tensor_rules import SIMILAR_ACROSS_RUNS
from debugger.rules.rule import TensorRule, needs_values, others
from debugger.saved import Moment, SavedTensors, Values


def largest_difference(one: Values, other: Values) -> float:
    """max |one - other|; infinite for another shape."""
    if one.shape != other.shape:
        return float("inf")
    if not one.size:
        return 0.0
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())


class SimilarAcrossRuns(TensorRule):
    """Fires when a tensor DIFFERS from that of another run at the same step, against its name.

    Our reading: equal means numpy.allclose with numpy's tolerances, NaN equal to NaN; the same
    global step and mode. Without a selection all tensors that both runs saved are compared.
    Source: SageMaker developer guide, similar-across-runs.
    """

    kind = SIMILAR_ACROSS_RUNS

    def start(self) -> None:
        """Raises SpecError without another run."""
        if not self.others:
            raise SpecError(
                "rule SimilarAcrossRuns: expected other_trials, the folder or s3:// prefix of the "
                "saved tensors of another run, got none"
            )

    def look(self, moment: Moment) -> Finding | None:
        """Every tensor that both have."""
        different: dict[str, float] = {}
        for other in self.others:
            if not other.has(moment.step):
                other.refresh()
            if not other.has(moment.step) or other.moment(moment.step) != moment:
                continue
            for name in self._names(moment.step):
                if other.has_name(name, moment.step):
                    self._compare(name, moment.step, other, different)
        if not different:
            return None
        name = max(different, key=lambda one: different[one])
        return self.finding(
            moment,
            name,
            value=different[name],
            threshold=0.0,
            message=f"{name} differs from the other run's by up to {different[name]:.3g}"
            f"{others(len(different) - 1)}",
            advice=_DIFFERENT,
        )

    def _compare(
        self, name: str, step: int, other: SavedTensors, different: dict[str, float]
    ) -> None:
        mine, theirs = next(self.arrays([name], step), None), other.value(name, step)
        if mine is None or theirs is None:
            return
        self.datapoints += 1
        values = mine[1]
        if values.shape != theirs.shape or not np.allclose(values, theirs, equal_nan=True):
            different[name] = largest_difference(values, theirs)

    def _names(self, step: int) -> list[str]:
        collections, regexes = self.texts("collection_names"), self.texts("tensor_regex")
        if not collections and not regexes:
            return list(self.saved.names(step))
        return self.saved.select(step, collections, regexes)

    def nothing_saved(self) -> str:
        """Steps of both."""
        if self.only_reduced:
            return needs_values(self.only_reduced, "weights")
        return "the two runs have no saved tensor at the same step in common"


_DIFFERENT = (
    "Two runs that are meant to be equal are not. Same seed, same data in the same order, same "
    "batch-size, hosts and precision? Training is bit-equal on one kind of CPU; on GPUs, compare "
    "losses instead of single weights."
)

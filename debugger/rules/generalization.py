"""Overfit and Overtraining: the network learns its training pictures, and nothing beyond."""

import math
from abc import abstractmethod
from collections.abc import Sequence

from contract.rule_result import Finding
from contract.tensor_rules import OVERFIT, OVERTRAINING
from debugger.rules.losses import LOSSES, Point
from debugger.rules.of_losses import OfLosses
from debugger.rules.rule import asks_for, counted

TRAIN, EVAL = "TRAIN", "EVAL"


def excess(train_loss: float, validation_loss: float) -> float:
    """(validation - training) / training; infinite when nothing is left to learn in training."""
    if train_loss:
        return (validation_loss - train_loss) / abs(train_loss)
    return math.inf if validation_loss > 0 else 0.0


def since_best(losses: Sequence[float], delta: float) -> int:
    """How many losses have come since the best one. A better one must beat it by `delta`."""
    best, count = math.inf, 0
    for loss in losses:
        if loss < best - delta or best == math.inf:
            best, count = loss, 0
        else:
            count += 1
    return count


class _OfEvaluations(OfLosses):
    """What both have in common: training losses, and one point an evaluation."""

    def start(self) -> None:
        """Nothing is judged yet."""
        super().start()
        self._judged: dict[str, int] = {}  # tensor -> evaluations that are behind us

    def nothing_saved(self) -> str:
        """Losses of both modes."""
        modes = self._losses.modes()
        if not modes:
            return asks_for(LOSSES, "losses")
        if EVAL not in modes:
            return (
                f"losses were saved in mode {', '.join(sorted(modes))} only, and this rule needs "
                "those of evaluations (EVAL): give the job a validation channel, and the "
                "collection losses an eval.save_interval that meets its steps"
            )
        return (
            f"losses were saved in mode {', '.join(sorted(modes))}, but no tensor has one in TRAIN "
            "before one in EVAL: give the collection losses a train.save_interval"
        )

    def _names(self, step: int) -> list[str]:
        return self.saved.select(step, [LOSSES])

    def _judge(self) -> Finding | None:
        found = None
        for name, points in list(self._losses.of(EVAL).items()):
            for position in range(self._judged.get(name, 0), len(points)):
                if points[position].moment.step >= (self._begin or 0):
                    found = self._at(name, points[: position + 1]) or found
            self._judged[name] = len(points)
        return found

    @abstractmethod
    def _at(self, name: str, evaluations: list[Point]) -> Finding | None:
        """Of a subclass."""

    def _trained(self, name: str, since: int, until: int) -> list[Point]:
        """Training losses between two global steps."""
        points = self._losses.of(TRAIN).get(name, [])
        return [one for one in points if since < one.moment.step < until]


class Overfit(_OfEvaluations):
    """Fires when validation is worse than training by a share, for more than `patience` in a row.

    Our reading: the mean loss of an evaluation stands against the mean of the training losses that
    were saved since the one before; `patience` counts evaluations.
    Source: SageMaker developer guide.
    """

    kind = OVERFIT

    def start(self) -> None:
        """And how long it has been so."""
        super().start()
        self._in_a_row: dict[str, int] = {}

    def shortage(self) -> str:
        """More evaluations than the patience allows."""
        if not self.datapoints or self.datapoints > self.count("patience"):
            return ""
        had = counted(self.datapoints, "evaluation")
        return f"{had}, and more than {self.count('patience')} are needed"

    def _names(self, step: int) -> list[str]:
        regexes = self.texts("tensor_regex")
        return self.saved.select(step, [] if regexes else [LOSSES], regexes)

    def _at(self, name: str, evaluations: list[Point]) -> Finding | None:
        newest = evaluations[-1]
        since = evaluations[-2].moment.step if len(evaluations) > 1 else -1
        trained = self._trained(name, since, newest.first)
        if not trained or newest.moment.step < self.count("start_step"):
            return None
        self.datapoints += 1
        mean = sum(one.value for one in trained) / len(trained)
        ratio, limit = excess(mean, newest.value), self.number("ratio_threshold")
        self._in_a_row[name] = self._in_a_row.get(name, 0) + 1 if ratio > limit else 0
        times = self._in_a_row[name]
        if times <= self.count("patience"):
            return None
        return self.finding(
            newest.moment,
            name,
            value=ratio,
            threshold=limit,
            message=f"{name} is {newest.value:.4g} in validation and {mean:.4g} in training "
            f"({ratio:.0%} more, {limit:.0%} are allowed; means of {newest.count} and "
            f"{len(trained)} saved steps), in {counted(times, 'evaluation')} in a row",
            advice="The network knows its training pictures better than pictures of the same kind. "
            "More or more varied training pictures help most; else augment = crop_color_transform, "
            "mixup = 0.2, a larger weight-decay, unfreeze = last-stage or none, or fewer epochs "
            "(early-stopping-patience keeps the best one).",
        )


class Overtraining(_OfEvaluations):
    """Fires when validation has not improved for `patience_validation` evaluations.

    Our reading of how the two patiences act together: validation decides; the finding says whether
    training has converged as well (no better loss for `patience_train` saved steps).
    Source: SageMaker developer guide.
    """

    kind = OVERTRAINING

    def shortage(self) -> str:
        """More evaluations than the patience."""
        patience = self.count("patience_validation")
        if not self.datapoints or self.datapoints > patience:
            return ""
        return f"{counted(self.datapoints, 'evaluation')}, and more than {patience} are needed"

    def _at(self, name: str, evaluations: list[Point]) -> Finding | None:
        self.datapoints += 1
        newest, delta = evaluations[-1], self.number("delta")
        patience = self.count("patience_validation")
        values = [one.value for one in evaluations]
        count = since_best(values, delta)
        if count < patience:
            return None
        best = evaluations[-1 - count]
        trained = [one.value for one in self._trained(name, -1, newest.first)]
        stale = since_best(trained, delta) if trained else 0
        converged = stale >= self.count("patience_train")
        training = (
            f"training has converged, too (no better loss for {stale} saved steps)"
            if converged
            else "training still improves"
        )
        return self.finding(
            newest.moment,
            name,
            value=float(count),
            threshold=float(patience),
            message=f"{name} in validation was best ({best.value:.4g}) "
            f"{counted(count, 'evaluation')} ago and "
            f"is {newest.value:.4g} now; {training}",
            advice="What came since then was for nothing: set early-stopping-patience, or fewer "
            f"epochs (about {len(evaluations) - count} evaluations are enough). "
            + (
                "A lower lr may find a better place first."
                if converged
                else "That training goes on improving means overfitting: try "
                "augment = crop_color, or a larger weight-decay."
            ),
        )

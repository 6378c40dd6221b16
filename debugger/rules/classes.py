"""ClassImbalance and Confusion: labels and predictions."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from contract.errors import JobError
from contract.rule_result import Finding
from contract.tensor_rules import CLASS_IMBALANCE, CONFUSION
from debugger.rules.losses import EVALUATING
from debugger.rules.rule import TensorRule, counted, others
from debugger.saved import Moment, Values

Classes = NDArray[np.int64]


def classes_of(values: Values) -> Classes:
    """Class indices of (N,) or (N, 1); of scores or one-hot rows (N, K) the largest."""
    if values.ndim > 1 and values.shape[1] > 1:
        values = values.argmax(axis=1)
    return values.reshape(-1).astype(np.int64)


def imbalance(counts: Classes) -> float:
    """Largest class over the smallest of those that were seen."""
    seen = counts[counts > 0]
    return float(seen.max() / seen.min()) if len(seen) else 1.0


def confusion(labels: Classes, predictions: Classes, num_classes: int) -> Classes:
    """(K, K) counts, a row a label, a column a prediction."""
    cells = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def shares_of(matrix: Classes) -> NDArray[np.float64]:
    """Each row over its sum; rows of classes that were not seen become NaN.

    Our reading: AWS's formulas mix rows and columns; rows of labels fit its removed tests.
    """
    sums = matrix.sum(axis=1, keepdims=True).astype(np.float64)
    shares: NDArray[np.float64] = matrix / np.where(sums, sums, np.nan)
    return shares


class ClassImbalance(TensorRule):
    """Fires when classes differ widely in number, or one of them is mostly mispredicted.

    Both count from the first saved step of a mode on and are judged once `samples` labels were
    seen. Our reading: the smallest class is the smallest that was seen. Without predictions only
    the numbers are judged.
    Source: SageMaker developer guide, class-imbalance; AWS's vectors of 2019.
    """

    kind = CLASS_IMBALANCE

    def start(self) -> None:
        """Nothing counted."""
        self._labels: dict[str, Classes] = defaultdict(lambda: np.zeros(0, np.int64))
        self._wrong: dict[str, Classes] = defaultdict(lambda: np.zeros(0, np.int64))
        self._predicted: dict[str, Classes] = defaultdict(lambda: np.zeros(0, np.int64))
        self._most = 0

    def look(self, moment: Moment) -> Finding | None:
        """Count this step's, then judge."""
        labels = _first(self, moment.step, self.texts("labels_regex"))
        if labels is None:
            return None
        name, values = labels
        classes = classes_of(values)
        mode = moment.mode
        self._labels[mode] = _added(self._labels[mode], np.bincount(classes))
        self._count_predictions(moment, classes)
        total = int(self._labels[mode].sum())
        self._most = max(self._most, total)
        if total < self.count("samples"):
            return None
        self.datapoints += 1
        return self._numbers(moment, name) or self._mistakes(moment)

    def missing(self) -> str:
        """Labels."""
        return "" if self._most else self.nothing_saved()

    def nothing_saved(self) -> str:
        """Labels."""
        return _asks("labels", str(self.values["labels_regex"]), "CrossEntropyLoss_input_1")

    def shortage(self) -> str:
        """More labels."""
        if self.datapoints:
            return ""
        return f"{counted(self._most, 'label')} of {self.count('samples')} were seen"

    def remarks(self) -> str:
        """Predictions."""
        if self.datapoints and not self._predicted:
            regex = self.values["predictions_regex"]
            return f"mispredictions were not judged: no tensor matches {regex}"
        return ""

    def _count_predictions(self, moment: Moment, labels: Classes) -> None:
        found = _first(self, moment.step, self.texts("predictions_regex"))
        if found is None:
            return
        name, values = found
        if values.ndim > 1 and values.shape[1] > 1 and not self.values["argmax"]:
            raise JobError(
                f"{name} has {values.shape[1]} numbers for each label: set argmax = true, they are "
                "scores and no classes"
            )
        predictions = classes_of(values)
        if len(predictions) != len(labels):
            return
        mode = moment.mode
        wrong = np.bincount(labels[predictions != labels], minlength=1)
        self._wrong[mode] = _added(self._wrong[mode], wrong)
        self._predicted[mode] = _added(self._predicted[mode], np.bincount(labels))

    def _numbers(self, moment: Moment, name: str) -> Finding | None:
        counts, limit = self._labels[moment.mode], self.number("threshold_imbalance")
        ratio = imbalance(counts)
        if ratio <= limit:
            return None
        most = int(counts.argmax())
        least = int(np.where(counts > 0, counts, counts.max() + 1).argmin())
        return self.finding(
            moment,
            name,
            value=ratio,
            threshold=limit,
            message=f"class {most} came {counts[most]:,} times and class {least} "
            f"{counts[least]:,} times in {counts.sum():,} labels: a ratio of {ratio:.3g}, "
            f"{limit:g} is the limit",
            advice="A rare class is hardly learned and counts for little in the accuracy: set "
            "balance = sampler (or weights), collect more pictures of it, and judge by the recall "
            "of each class in report.html.",
        )

    def _mistakes(self, moment: Moment) -> Finding | None:
        counts, limit = self._predicted[moment.mode], self.number("threshold_misprediction")
        if not counts.sum():
            return None
        wrong = _added(self._wrong[moment.mode], np.zeros(len(counts), np.int64))
        shares = np.where(counts > 0, wrong / np.maximum(counts, 1), 0.0)
        bad = np.flatnonzero(shares > limit)
        if not len(bad):
            return None
        worst = int(shares.argmax())
        return self.finding(
            moment,
            f"class {worst}",
            value=float(shares[worst]),
            threshold=limit,
            message=f"{wrong[worst]:,} of {counts[worst]:,} labels of class {worst} were "
            f"mispredicted ({shares[worst]:.0%}, {limit:.0%} are the limit)"
            f"{others(len(bad) - 1).replace('tensor', 'class')}",
            advice="Early in a job this is ordinary. If it stays: the class is rare (balance = "
            "sampler), mislabelled, or looks like another (see the confusion matrix in "
            "report.html); more pictures of it help most.",
        )


class Confusion(TensorRule):
    """Fires when a class is right too rarely, or taken for another one too often.

    Pairs of label and prediction are counted in a matrix; each row is judged as shares of its sum.
    Our reading: the matrix holds all saved steps so far, in EVAL those of the current evaluation.
    Predictions with a score a class count as the largest. Tensors are found by collection or name.
    Source: SageMaker developer guide, confusion; AWS's vectors of 2019.
    """

    kind = CONFUSION

    def start(self) -> None:
        """Nothing counted."""
        self._matrices: dict[str, Classes] = {}
        self._last: dict[str, Moment] = {}
        self._has_labels = False

    def look(self, moment: Moment) -> Finding | None:
        """Count this step's, then judge."""
        labels = self._tensor(moment.step, "labels")
        predictions = self._tensor(moment.step, "predictions")
        self._has_labels = self._has_labels or labels is not None
        if labels is None or predictions is None:
            return None
        rights, guesses = classes_of(labels[1]), classes_of(predictions[1])
        if len(rights) != len(guesses) or not len(rights):
            return None
        self.datapoints += 1
        matrix = self._count(moment, rights, guesses)
        return self._judge(moment, predictions[0], matrix)

    def nothing_saved(self) -> str:
        """Labels and predictions."""
        which = "predictions" if self._has_labels else "labels"
        usual = "CrossEntropyLoss_input_0" if self._has_labels else "CrossEntropyLoss_input_1"
        return _asks(which, str(self.values[which]), usual)

    def _tensor(self, step: int, which: str) -> tuple[str, Values] | None:
        names = self.saved.select(step, [str(self.values[f"{which}_collection"])])
        wanted = str(self.values[which])
        names = [one for one in names if wanted in one] or names
        return _first(self, step, [wanted], names)

    def _count(self, moment: Moment, labels: Classes, predictions: Classes) -> Classes:
        last = self._last.get(moment.mode)
        is_new = last is not None and moment.step - last.step != moment.mode_step - last.mode_step
        if moment.mode in EVALUATING and is_new:
            self._matrices.pop(moment.mode, None)
        self._last[moment.mode] = moment
        seen = int(max(labels.max(), predictions.max())) + 1
        before = self._matrices.get(moment.mode)
        size = max(seen, int(self.values["category_no"] or 0), 0 if before is None else len(before))
        matrix = confusion(labels, predictions, size)
        if before is not None:
            matrix[: len(before), : len(before)] += before
        self._matrices[moment.mode] = matrix
        return matrix

    def _judge(self, moment: Moment, name: str, matrix: Classes) -> Finding | None:
        shares = shares_of(matrix)
        right = np.diag(shares)
        least, most = self.number("min_diag"), self.number("max_off_diag")
        low = np.flatnonzero(np.nan_to_num(right, nan=1.0) < least)
        apart = np.nan_to_num(shares - np.diag(right))
        label, taken = (int(one) for one in np.unravel_index(apart.argmax(), apart.shape))
        if not len(low) and apart[label, taken] <= most:
            return None
        worst = int(np.nanargmin(right))
        is_diagonal = bool(len(low))
        often = (
            f"; class {label} is taken for {taken} in {apart[label, taken]:.0%} of "
            f"{matrix[label].sum():,}"
        )
        return self.finding(
            moment,
            name,
            value=float(right[worst]) if is_diagonal else float(apart[label, taken]),
            threshold=least if is_diagonal else most,
            message=(
                f"{len(low)} of {int((matrix.sum(axis=1) > 0).sum())} classes are right in less "
                f"than {least:.0%}, class {worst} in {right[worst]:.0%}{often}"
                if is_diagonal
                else f"class {label} is taken for {taken} in {apart[label, taken]:.0%} of "
                f"{matrix[label].sum():,} cases, {most:.0%} are the limit"
            ),
            advice="Early in a job this is ordinary. Pairs that stay confused: look at their "
            "pictures (worst.png and the confusion matrix in report.html) for wrong labels; more "
            "pictures of both, a larger image-size, or unfreeze = last-stage helps to tell alike "
            "classes apart.",
        )


def _first(
    rule: TensorRule, step: int, regexes: list[str], names: list[str] | None = None
) -> tuple[str, Values] | None:
    names = names or rule.saved.select(step, (), regexes)
    return next(rule.arrays(names, step), None)


def _added(counts: Classes, more: Classes) -> Classes:
    """The sum of two vectors of counts, the shorter one filled up with 0."""
    size = max(len(counts), len(more))
    return np.pad(counts, (0, size - len(counts))) + np.pad(more, (0, size - len(more)))


def _asks(what: str, wanted: str, usual: str) -> str:
    return (
        f"no saved tensor matches {wanted!r}: add [debugger.collections.{what}] to the job "
        f"description, and tell the rule the name of the {what}; with torch's CrossEntropyLoss it "
        f"is {usual}"
    )

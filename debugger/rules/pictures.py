"""CheckInputImages: pictures that reach the network without being normalised."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from contract.rule_result import Finding
from contract.tensor_rules import CHECK_INPUT_IMAGES
from debugger.rules.rule import TensorRule, counted
from debugger.saved import Moment, Values


def channel_sums(pictures: Values, channel: int) -> tuple[NDArray[np.float64], int]:
    """Sum of each colour channel of a batch, and how many values each sum has."""
    axes = tuple(axis for axis in range(pictures.ndim) if axis != channel)
    sums = pictures.astype(np.float64).sum(axis=axes)
    return sums, pictures.size // max(1, pictures.shape[channel])


class CheckInputImages(TensorRule):
    """Fires when a colour channel's mean over batch and pixels is further from 0 than allowed.

    It counts from the first saved step of a mode on and judges once `threshold_samples` pictures
    were seen. The default name is one of MXNet's. A network of this project normalises pictures
    inside of itself: what its trunk gets is called trunk_input_0.
    Source: SageMaker developer guide, check-input-images; AWS's vectors of 2019.
    """

    kind = CHECK_INPUT_IMAGES

    def start(self) -> None:
        """Nothing counted."""
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._values: dict[str, int] = defaultdict(int)
        self._pictures: dict[str, int] = defaultdict(int)

    def look(self, moment: Moment) -> Finding | None:
        """Count this step's, then judge."""
        channel, mode = self.count("channel"), moment.mode
        names = self.saved.select(moment.step, (), self.texts("regex"))
        for _, values in self.arrays(names, moment.step):
            if values.ndim < 3 or channel >= values.ndim:
                continue
            sums, count = channel_sums(values, channel)
            before = self._sums.get(mode)
            if before is not None and before.shape != sums.shape:
                continue
            self._sums[mode] = sums if before is None else before + sums
            self._values[mode] += count
            self._pictures[mode] += len(values)
        if not names or self._pictures[mode] < self.count("threshold_samples"):
            return None
        self.datapoints += 1
        return self._judge(moment, names[0])

    def _judge(self, moment: Moment, name: str) -> Finding | None:
        means = self._sums[moment.mode] / self._values[moment.mode]
        limit = self.number("threshold_mean")
        worst = int(np.abs(means).argmax())
        if not abs(means[worst]) > limit:
            return None
        return self.finding(
            moment,
            name,
            value=float(means[worst]),
            threshold=limit,
            message=f"colour channel {worst} of {name} has the mean {means[worst]:.3g} over "
            f"{self._pictures[moment.mode]:,} pictures, {limit:g} from 0 are allowed",
            advice="Networks expect pictures centred on 0, with the mean and deviation of their "
            "pretraining. A network of this project does that itself: look at trunk_input_0 "
            "(regex = ^trunk_input_0). In a script of your own, subtract the mean and divide by "
            "the deviation.",
        )

    def missing(self) -> str:
        """Pictures."""
        return "" if self._pictures else self.nothing_saved()

    def nothing_saved(self) -> str:
        """Pictures."""
        return (
            f"no saved tensor with pictures matches {self.values['regex']!r}: add "
            "[debugger.collections.input_image] to the job description, and give the rule "
            "regex = ^trunk_input_0; where only the head learns, no picture passes"
        )

    def shortage(self) -> str:
        """More pictures."""
        if self.datapoints:
            return ""
        most = max(self._pictures.values(), default=0)
        return f"{counted(most, 'picture')} of {self.count('threshold_samples')} were seen"

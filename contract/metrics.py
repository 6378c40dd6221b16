"""Metric lines and the regexes that read them back, made from one table.

SageMaker applies each regex to every log line (CONTRACT A.8), so a line holds exactly one
`name=value;`, a plain decimal, and no colour.
"""

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number that a job reports under a fixed name."""

    name: str
    help: str
    maximize: bool
    every_epoch: bool = True  # otherwise once, at the end
    aliases: tuple[str, ...] = ()  # names that tuning descriptions may use for it

    @property
    def regex(self) -> str:
        """What `MetricDefinitions` and our own readers match; one capture group."""
        return f"(?:^|[^a-z]){re.escape(self.name)}=(-?[0-9]+[.]?[0-9]*(?:e[-+]?[0-9]+)?);"


METRICS: tuple[Metric, ...] = (
    Metric(name="train:loss", help="mean loss of the epoch's training batches", maximize=False),
    Metric(name="train:accuracy", help="top-1 accuracy on them, 0 to 1", maximize=True),
    Metric(name="train:images_per_second", help="training pictures a second", maximize=True),
    Metric(name="validation:loss", help="mean cross-entropy on validation", maximize=False),
    Metric(name="validation:accuracy", help="top-1 accuracy on validation", maximize=True),
    Metric(
        name="test:loss",
        help="mean cross-entropy on test, once, at the end",
        maximize=False,
        every_epoch=False,
        aliases=("average test loss", "test loss"),
    ),
    Metric(
        name="test:accuracy",
        help="top-1 accuracy on test",
        maximize=True,
        every_epoch=False,
        aliases=("test accuracy",),
    ),
)
METRIC_BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}


def find_metric(name: str) -> Metric | None:
    """The metric of this name or alias, in any case; `-` and `_` are as good as its separators."""
    asked = _plain(name)
    for metric in METRICS:
        if asked in map(_plain, (metric.name, *metric.aliases)):
            return metric
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\s:_-]+", " ", name.strip().lower())


def format_metric(name: str, value: float) -> str:
    """One log line, e.g. `validation:accuracy=0.9123;`.

    Raises KeyError for a name outside the table and ValueError for NaN or infinity: the caller
    has to say what went wrong instead of logging a number that tuning would misread.
    """
    metric = METRIC_BY_NAME[name]
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}")
    return f"{metric.name}={value:.6f};"


def read_metrics(line: str) -> dict[str, float]:
    """The metrics that SageMaker's regexes would find in one log line."""
    found = ((metric.name, re.search(metric.regex, line)) for metric in METRICS)
    return {name: float(match.group(1)) for name, match in found if match}


def metric_definitions() -> list[dict[str, str]]:
    """`AlgorithmSpecification.MetricDefinitions` for a training or tuning job."""
    return [{"Name": metric.name, "Regex": metric.regex} for metric in METRICS]

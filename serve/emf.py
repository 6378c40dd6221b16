"""EMF: the numbers of some seconds as one document of CloudWatch's embedded metric format.

Source: "Specification: Embedded metric format" in the CloudWatch user guide.
"""

import random
import re
import threading
import time
from collections.abc import Mapping
from typing import Any

from contract.errors import SpecError

MAX_VALUES = 100  # of one metric in one document: the format's limit
KEPT_VALUES = 1000  # of one metric between two documents
# CloudWatch's rule for a metric namespace; AWS/ is kept for its own services.
NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9._\-/#: ]{1,255}")
COUNTS = ("Requests", "Pictures", "ClientErrors", "ServerErrors", "Refused")
MEASURES = {
    "TotalTime": "Milliseconds",
    "DecodeTime": "Milliseconds",
    "InferenceTime": "Milliseconds",
    "BatchSize": "Count",
}
GAUGES = {"queue_depth": "QueueDepth", "in_flight": "InFlight"}
FACTS = ("engine", "variant", "device")


class Values:
    """Up to KEPT_VALUES values, each that came equally likely among them."""

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._count = 0

    def add(self, value: float) -> None:
        """One value more. Source: Vitter's algorithm R."""
        self._count += 1
        if len(self._kept) < KEPT_VALUES:
            self._kept.append(value)
            return
        position = random.randrange(self._count)
        if position < KEPT_VALUES:
            self._kept[position] = value

    def spread(self) -> list[float]:
        """At most MAX_VALUES in order, smallest and largest among them: percentiles stay."""
        values = sorted(self._kept)
        if len(values) <= MAX_VALUES:
            return values
        step = (len(values) - 1) / (MAX_VALUES - 1)
        return [values[round(index * step)] for index in range(MAX_VALUES)]


class Window:
    """What was counted since the last document. Thread-safe."""

    def __init__(self, namespace: str) -> None:
        """Raises SpecError for a namespace that CloudWatch would refuse."""
        check_namespace(namespace)
        self._namespace = namespace
        self._lock = threading.Lock()
        self._clear()

    def request(self, status: int, seconds: float, pictures: int) -> None:
        """One invocation was answered."""
        with self._lock:
            self._counts["Requests"] += 1
            self._counts["Pictures"] += pictures
            self._counts["ClientErrors"] += 400 <= status < 500
            self._counts["ServerErrors"] += status >= 500
            self._values["TotalTime"].add(1000 * seconds)

    def batch(self, size: int, decode_seconds: float, inference_seconds: float) -> None:
        """One engine call; the decoding time is that of one picture, the mean of the batch."""
        with self._lock:
            self._values["DecodeTime"].add(1000 * decode_seconds / size)
            self._values["InferenceTime"].add(1000 * inference_seconds)
            self._values["BatchSize"].add(size)

    def refused(self) -> None:
        """One invocation found the queue full."""
        with self._lock:
            self._counts["Refused"] += 1

    def take(self, gauges: Mapping[str, int], facts: Mapping[str, Any]) -> dict[str, Any]:
        """The document of this window; the next begins."""
        with self._lock:
            counts, values = self._counts, self._values
            self._clear()
        measured = {name: item.spread() for name, item in values.items()}
        numbers: dict[str, Any] = {
            **counts,
            **{name: gauges.get(key, 0) for key, name in GAUGES.items()},
            # An empty array would not be a metric's value.
            **{name: _rounded(spread) for name, spread in measured.items() if spread},
        }
        metrics = [{"Name": name, "Unit": MEASURES.get(name, "Count")} for name in numbers]
        directive = {"Namespace": self._namespace, "Dimensions": [[]], "Metrics": metrics}
        return {
            "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
            **{key: str(facts[key]) for key in FACTS if key in facts},
            **numbers,
        }

    def _clear(self) -> None:
        self._counts = dict.fromkeys(COUNTS, 0)
        self._values = {name: Values() for name in MEASURES}


def check_namespace(namespace: str) -> None:
    """Raises SpecError for a namespace that CloudWatch would refuse."""
    if not NAMESPACE.fullmatch(namespace):
        raise SpecError(
            "environment variable KENNEL_EMF_NAMESPACE: expected 1 to 255 letters, digits, "
            f"spaces or ._-/#: and not AWS/ in front, got {namespace[:100]!r}"
        )


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]

"""Meters: the Prometheus metrics of one process, and their page, by prometheus_client."""

import threading
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64)
# Models with series of their own at a time; the others share one. Some 20 series a model.
MAX_MODELS = 50
OTHER = "(other)"
STATUSES = frozenset(str(status.value) for status in HTTPStatus)
HELP = {
    "queue_depth": "Pictures that wait for their turn.",
    "in_flight": "Invocations that have come and are not answered.",
}
FACTS = ("engine", "variant", "device")


class Meters:
    """Counts and measures. The number of series is bounded, whatever clients send."""

    def __init__(self, has_models: bool, gauges: Callable[[], Mapping[str, int]]) -> None:
        # Imported here: a server without /metrics does not need it.
        from prometheus_client import (
            CollectorRegistry,
            Counter,
            Histogram,
            ProcessCollector,
            disable_created_metrics,
        )

        # They double the series, and the text format has no word for them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._gauges, self._has_models = gauges, has_models
        self._lock = threading.Lock()
        self._models: set[str] = set()
        self._registry = registry = CollectorRegistry()
        model = ["model"] if has_models else []
        self._requests = Counter(
            "kennel_requests", "Invocations answered.", ["status", *model], registry=registry
        )
        self._seconds = Histogram(
            "kennel_request_seconds",
            "From an invocation's header to its answer.",
            model,
            buckets=SECONDS,
            registry=registry,
        )
        self._pictures = Counter("kennel_pictures", "Pictures answered.", model, registry=registry)
        self._refused = Counter(
            "kennel_refused", "Invocations answered 503: the queue was full.", registry=registry
        )
        self._decode = Histogram(
            "kennel_decode_seconds",
            "Decoding one picture; the mean of its batch.",
            buckets=SECONDS,
            registry=registry,
        )
        self._inference = Histogram(
            "kennel_inference_seconds",
            "One call of the engine, over a whole batch.",
            buckets=SECONDS,
            registry=registry,
        )
        self._sizes = Histogram(
            "kennel_batch_size", "Pictures of one engine call.", buckets=SIZES, registry=registry
        )
        ProcessCollector(registry=registry)

    def request(self, status: int, seconds: float, pictures: int, model: str) -> None:
        """One invocation was answered."""
        label = str(status) if str(status) in STATUSES else "other"
        if not self._has_models:
            self._requests.labels(label).inc()
            self._seconds.observe(seconds)
            self._pictures.inc(pictures)
            return
        with self._lock:  # against `forget`, which a late label would outlive
            model = self._admit(model, is_known=status != HTTPStatus.NOT_FOUND)
            self._requests.labels(label, model).inc()
            self._seconds.labels(model).observe(seconds)
            self._pictures.labels(model).inc(pictures)

    def batch(self, size: int, decode_seconds: float, inference_seconds: float) -> None:
        """One engine call."""
        for _ in range(size):
            self._decode.observe(decode_seconds / size)
        self._inference.observe(inference_seconds)
        self._sizes.observe(size)

    def refused(self) -> None:
        """One invocation found the queue full."""
        self._refused.inc()

    def forget(self, model: str) -> None:
        """Drop a model's series."""
        with self._lock:
            if model not in self._models:
                return
            self._models.discard(model)
            self._seconds.remove(model)
            self._pictures.remove(model)
            self._requests.remove_by_labels({"model": model})

    def page(self, facts: Mapping[str, Any]) -> bytes:
        """Everything, in the text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry) + generate_latest(_Now(self._gauges(), facts))

    def _admit(self, model: str, is_known: bool) -> str:
        """The label of `model`: its name, or one for all that came too late or do not exist."""
        if model in self._models:
            return model
        if not model or not is_known or len(self._models) >= MAX_MODELS:
            return OTHER
        self._models.add(model)
        return model


class _Now:
    """What is not counted but looked up: gauges and facts."""

    def __init__(self, gauges: Mapping[str, int], facts: Mapping[str, Any]) -> None:
        self._gauges, self._facts = gauges, facts

    def collect(self) -> "Iterable[Metric]":
        """Called by prometheus_client."""
        from prometheus_client.core import GaugeMetricFamily

        for name, value in sorted(self._gauges.items()):
            yield GaugeMetricFamily(f"kennel_{name}", HELP.get(name, name), value=value)
        labels = {key: str(self._facts.get(key, "")) for key in FACTS} | {"version": version()}
        info = GaugeMetricFamily("kennel_info", "What computes.", labels=list(labels))
        info.add_metric(list(labels.values()), 1)
        yield info


def version() -> str:
    """Kennel's own; `unknown` where its files lie without being installed."""
    try:
        return metadata.version("kennel")
    except metadata.PackageNotFoundError:
        return "unknown"

"""Telemetry: what one server process counts about itself, for Prometheus and for CloudWatch.

Both are off unless the settings ask for them, and then every call here returns at once.
"""

import atexit
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from serve.emf import Window
from serve.meters import Meters
from serve.settings import ServeSettings
from serve.siblings import Siblings

# Whatever SAGEMAKER_CONTAINER_LOG_LEVEL says: who asks for these lines wants them.
emf_log = logging.getLogger("serve.emf")

PUBLISH_SECONDS = 1.0  # how old the numbers of the other processes may be
QUEUE_DEPTH, IN_FLIGHT = "queue_depth", "in_flight"

Facts = Callable[[], Mapping[str, Any]]


class Telemetry:
    """Counters, histograms and gauges of this process. Thread-safe."""

    def __init__(self, settings: ServeSettings) -> None:
        """Raises SpecError for a namespace that CloudWatch would refuse."""
        self._settings = settings
        self._facts: Facts = dict
        self._lock = threading.Lock()
        self._readers: list[tuple[str, Callable[[], int]]] = []
        self._in_flight = 0
        self._stopped = threading.Event()
        self._meters = Meters(settings.multi_model, self.gauges) if settings.metrics else None
        self._window = Window(settings.emf_namespace) if settings.emf_seconds else None
        one_of_many = settings.workers > 1 and not settings.multi_model
        self._siblings = Siblings() if settings.metrics and one_of_many else None

    def request(self, status: int, seconds: float, pictures: int = 0, model: str = "") -> None:
        """One invocation was answered, whatever the status. `model` in a multi-model server."""
        if self._meters is not None:
            self._meters.request(status, seconds, pictures, model)
        if self._window is not None:
            self._window.request(status, seconds, pictures)

    def batch(self, size: int, decode_seconds: float, inference_seconds: float) -> None:
        """One call of the engine over `size` pictures; `decode_seconds` is their sum."""
        if size < 1:
            return
        if self._meters is not None:
            self._meters.batch(size, decode_seconds, inference_seconds)
        if self._window is not None:
            self._window.batch(size, decode_seconds, inference_seconds)

    def refused(self) -> None:
        """One invocation found the queue full and was answered 503."""
        if self._meters is not None:
            self._meters.refused()
        if self._window is not None:
            self._window.refused()

    def watch(self, name: str, read: Callable[[], int]) -> Callable[[], None]:
        """Ask `read` for the gauge `name` whenever somebody looks; several readers add up.

        Returns what ends it: until then `read`, and all that it refers to, is kept alive.
        """
        entry = (name, read)
        with self._lock:
            self._readers.append(entry)

        def end() -> None:
            with self._lock:
                if entry in self._readers:
                    self._readers.remove(entry)

        return end

    def forget(self, model: str) -> None:
        """An unloaded model's numbers go, so that they do not pile up."""
        if self._meters is not None:
            self._meters.forget(model)

    def begin(self) -> None:
        """An invocation has come."""
        with self._lock:
            self._in_flight += 1

    def end(self) -> None:
        """It is answered, or has failed."""
        with self._lock:
            self._in_flight -= 1

    def gauges(self) -> dict[str, int]:
        """What is waiting and what is at work, now."""
        with self._lock:
            readers = list(self._readers)
            values = {QUEUE_DEPTH: 0, IN_FLIGHT: self._in_flight}
        for name, read in readers:
            values[name] = values.get(name, 0) + read()
        return values

    def prometheus(self) -> bytes | None:
        """The page for Prometheus, text format 0.0.4; None when it is switched off.

        With several processes it has the numbers of all, told apart by the label `process`.
        """
        if self._meters is None:
            return None
        page = self._meters.page(self._facts())
        return page if self._siblings is None else self._siblings.merge(page)

    def start(self, facts: Facts) -> None:
        """Begin what happens without being asked. `facts` names engine, variant and device."""
        self._facts = facts
        periods = [self._settings.emf_seconds, PUBLISH_SECONDS if self._siblings else 0]
        jobs = [self.write_emf, self._publish]
        for period, job in zip(periods, jobs, strict=True):
            if period:
                threading.Thread(
                    target=self._repeat, args=(period, job), name=job.__name__, daemon=True
                ).start()
        if any(periods):
            atexit.register(self.close)

    def close(self) -> None:
        """Stop, and write what was counted since the last line."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self.write_emf()
        if self._siblings is not None:
            self._siblings.leave()

    def write_emf(self) -> None:
        """One log line with the numbers since the last one, as CloudWatch reads metrics."""
        if self._window is not None:
            emf_log.setLevel(logging.INFO)
            document = self._window.take(self.gauges(), self._facts())
            emf_log.info("metrics", extra={"fields": document})

    def _publish(self) -> None:
        if self._siblings is not None and self._meters is not None:
            self._siblings.publish(self._meters.page(self._facts()))

    def _repeat(self, seconds: float, job: Callable[[], None]) -> None:
        while not self._stopped.wait(seconds):
            job()

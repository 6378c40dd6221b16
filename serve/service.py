"""Service: one model's life in this process: loading, ready, broken, and how busy it may get."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from contract.errors import KennelError, RequestError
from contract.host import resident_bytes
from serve.invocation import Answer, Invocation, Model
from serve.settings import MIB

log = logging.getLogger(__name__)

LOADING_RETRY_SECONDS = 5
BUSY_RETRY_SECONDS = 1


class Status(StrEnum):
    """What /ping says."""

    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"


class Service:
    """Holds the model; thread-safe."""

    def __init__(
        self,
        load: Callable[[], Model],
        max_in_flight: int,
        loading_wait_seconds: float = 0.0,
    ) -> None:
        """`loading_wait_seconds`: how long an invocation waits for a model that is loading.

        The platform sends none before the first /ping is answered with 200. Those that come
        while a process that was killed is replaced need not fail for that.
        """
        self._load = load
        self._loaded = threading.Event()  # or it never will be
        self._loading_wait_seconds = loading_wait_seconds
        self._max_in_flight = max_in_flight
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._model: Model | None = None
        self.status = Status.LOADING
        self.reason = ""

    def load(self) -> None:
        """Load the model here and now. Raises what loading raises; the status says so too."""
        started, before = time.monotonic(), resident_bytes()
        try:
            self._model = self._load()
        except BaseException as error:
            self.mark_broken(f"{type(error).__name__}: {error}")
            raise
        self.status = Status.READY
        self._loaded.set()
        log.info(
            "ready",
            extra={
                "fields": {
                    "seconds": round(time.monotonic() - started, 2),
                    "memory_mib": round((resident_bytes() - before) / MIB),
                    **self.describe(),
                }
            },
        )

    def start(self, on_failure: Callable[[], None]) -> threading.Thread:
        """Load in the background, so that /ping can say `loading` meanwhile."""

        def run() -> None:
            try:
                self.load()
            except BaseException as error:  # whatever it is, this server must not live on
                is_expected = isinstance(error, KennelError) and error.__cause__ is None
                log.critical(
                    "the model cannot be served: %s: %s",
                    type(error).__name__,
                    error,
                    exc_info=not is_expected,
                )
                on_failure()

        loader = threading.Thread(target=run, name="load", daemon=True)
        loader.start()
        return loader

    def describe(self) -> dict[str, Any]:
        """The status and, once there is a model, its facts."""
        facts = self._model.describe() if self._model and self.status is Status.READY else {}
        reason = {"reason": self.reason} if self.reason else {}
        return {"status": str(self.status), **reason, **facts}

    def mark_broken(self, reason: str) -> None:
        """Make /ping fail from now on, so that the platform replaces this container."""
        self.status, self.reason = Status.BROKEN, " ".join(reason.split())[:300]
        self._loaded.set()

    @contextmanager
    def admit(self) -> Iterator[Callable[[Invocation], Answer]]:
        """Room for one request, taken before its body is read. Raises RequestError 503."""
        if not self._slots.acquire(blocking=False):
            raise RequestError(
                503,
                f"{self._max_in_flight} invocations are in flight, the limit; try again",
                BUSY_RETRY_SECONDS,
            )
        try:
            yield self._loaded_model().answer
        finally:
            self._slots.release()

    def _loaded_model(self) -> Model:
        self._loaded.wait(self._loading_wait_seconds)
        model = self._model
        if model is None or self.status is not Status.READY:
            what = "is still loading" if self.status is Status.LOADING else "cannot be served"
            raise RequestError(503, f"the model {what}; see /ping", LOADING_RETRY_SECONDS)
        return model

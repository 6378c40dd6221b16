"""Models: those that a multi-model server holds, by name. Load, list, ask, unload; thread-safe."""

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract.errors import RequestError
from contract.host import resident_bytes
from serve.hosted import Hosted, State, find_folder, is_program, settings_for
from serve.invocation import Answer, Invocation, Model
from serve.isolated import IsolatedModel
from serve.memory import MemoryBudget, bundle_need, give_back, process_need
from serve.model import load_model, new_lanes
from serve.remembered import Remembered
from serve.service import BUSY_RETRY_SECONDS, Status
from serve.settings import MAX_CHANGES, MIB, ServeSettings
from serve.telemetry import Telemetry

log = logging.getLogger(__name__)

CUT_OFF_SECONDS = 10.0  # for requests to fail whose model was closed under them
# How long a request waits for a model that is loaded again. SageMaker's caller waits 60 s in all.
RESTORE_WAIT_SECONDS = 30.0


class Models:
    """The registry behind /models. A name is a key and nothing else; the url says where."""

    def __init__(
        self,
        settings: ServeSettings,
        num_cpus: int,
        budget: MemoryBudget,
        remembered: Remembered | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._settings, self._num_cpus, self._budget = settings, num_cpus, budget
        self._lanes = new_lanes(settings, num_cpus, telemetry)  # shared by all models
        self._remembered = remembered or Remembered(None)
        self._hosted: dict[str, Hosted] = {}
        self._changed = threading.Condition()
        self._changes = threading.BoundedSemaphore(MAX_CHANGES)
        self._slots = threading.BoundedSemaphore(settings.max_in_flight)
        self.status = Status.READY  # with no model at all, as SageMaker wants it
        self.reason = ""

    def describe(self) -> dict[str, Any]:
        """Facts for /ping."""
        reason = {"reason": self.reason} if self.reason else {}
        return {"status": str(self.status), **reason, "num_models": len(self.names())}

    def mark_broken(self, reason: str) -> None:
        """Make /ping fail from now on, so that the platform replaces this container."""
        self.status, self.reason = Status.BROKEN, " ".join(reason.split())[:300]

    def expect(self, entries: Mapping[str, str]) -> list[Hosted]:
        """Count these (url by name) as loaded already; `bring_up` or `forget` follows for each."""
        with self._changed:
            hosted = [Hosted(name, url, State.RESTORING) for name, url in entries.items()]
            self._hosted.update({item.name: item for item in hosted})
            return hosted

    def load(self, name: str, url: str) -> None:
        """The model answers when this returns; when it fails, nothing is left behind.

        Raises RequestError: 409 when the name is taken, even before the url is looked at; 404
        when there is nothing at the url; 507 when the model does not fit. BundleError and its
        kind when what is there cannot be served, MemoryError when it turned out too large.
        """
        with self._change():
            hosted = self._claim(name, url)
            try:
                self.bring_up(hosted)
            except BaseException:
                self.forget(hosted)
                raise

    def bring_up(self, hosted: Hosted) -> None:
        """Load it; from here on it answers, and somebody may unload it. Raises as `load`."""
        started, before = time.monotonic(), resident_bytes()
        hosted.model = self._read(hosted.name, find_folder(hosted.url))
        facts = hosted.model.describe()
        self._remembered.add(hosted.name, hosted.url)
        with self._changed:
            hosted.state = State.READY
            self._changed.notify_all()
        seconds = round(time.monotonic() - started, 2)
        memory_mib = round((resident_bytes() - before) / MIB)  # others' loads at the time included
        fields = {**facts, "model": hosted.name, "url": hosted.url, "seconds": seconds}
        fields["memory_mib"] = memory_mib
        log.info("loaded", extra={"fields": fields})

    def forget(self, hosted: Hosted) -> None:
        """Its name is free; who waits for it is told that it is not loaded."""
        with self._changed:
            del self._hosted[hosted.name]
            hosted.state = State.UNLOADING
            self._changed.notify_all()

    def unload(self, name: str) -> None:
        """Wait for the requests in flight, then free the memory: it is free when this returns.

        Raises RequestError 404 when it is not loaded (also while it loads or unloads), 503 when
        its requests do not end; then it stays.
        """
        with self._change():
            hosted = self._ready(name)
            self._drain(hosted)
            hosted.model = None
            give_back()
            self._budget.release(name)
            self._remembered.remove(name)
            self.forget(hosted)
        log.info("unloaded", extra={"fields": {"model": name, "url": hosted.url}})

    def look_up(self, name: str) -> Hosted:
        """A model that counts as loaded. Raises RequestError 404."""
        with self._changed:
            hosted = self._hosted.get(name)
            if hosted is None or not hosted.is_listed:
                how = "not loaded" if hosted is None else f"{hosted.state} just now"
                raise RequestError(404, f"model {name[:100]!r} is {how}; see GET /models")
            return hosted

    def find(self, name: str) -> Hosted:
        """A model that can answer. Raises RequestError: 404, or 503 while it is loaded again."""
        seconds = min(RESTORE_WAIT_SECONDS, self._settings.timeout_seconds)
        with self._changed:
            hosted = self.look_up(name)
            self._changed.wait_for(lambda: hosted.state is not State.RESTORING, seconds)
            if hosted.state is State.RESTORING:
                raise RequestError(503, f"model {name[:100]!r} is being loaded again", 5)
            return self.look_up(name)

    def names(self) -> list[str]:
        """Of the models that count as loaded, in order."""
        with self._changed:
            return sorted(name for name, hosted in self._hosted.items() if hosted.is_listed)

    def page(self, limit: int, after: str) -> tuple[list[Hosted], bool]:
        """At most `limit` models in the order of their names, and whether more follow."""
        names = self.names()
        first = bisect_right(names, after) if after else 0
        with self._changed:
            chosen = [self._hosted[n] for n in names[first : first + limit] if n in self._hosted]
        return chosen, len(names) > first + limit

    @contextmanager
    def admit(self, name: str) -> Iterator[Callable[[Invocation], Answer]]:
        """Room for one request, taken before its body is read. Raises RequestError 404 or 503."""
        self.look_up(name)
        with self.slot():
            self.find(name)
            yield lambda invocation: self.answer(name, invocation)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """One of the requests that may be at work. Raises RequestError 503."""
        if self.status is not Status.READY:
            raise RequestError(503, "this server is broken; see /ping", BUSY_RETRY_SECONDS)
        if not self._slots.acquire(blocking=False):
            raise RequestError(
                503,
                f"{self._settings.max_in_flight} invocations are in flight, the limit; try again",
                BUSY_RETRY_SECONDS,
            )
        try:
            yield
        finally:
            self._slots.release()

    def answer(self, name: str, invocation: Invocation) -> Answer:
        """The answer of a loaded model. Raises RequestError 404, and what the model raises."""
        with self._changed:  # again: it may have gone while the body arrived
            hosted = self.find(name)
            hosted.in_flight += 1
        try:
            return hosted.answer(invocation)
        finally:
            with self._changed:
                hosted.in_flight -= 1
                self._changed.notify_all()

    def _read(self, name: str, folder: Path) -> Model:
        settings = settings_for(folder, self._settings)
        brings_code = is_program(folder, settings)
        need = process_need(folder) if brings_code else bundle_need(folder)
        with self._budget.room_for(name, need):
            log.debug("loading %s: %s", folder, need)
            if brings_code:
                return IsolatedModel(settings)
            return load_model(settings, self._num_cpus, self._lanes)

    def _claim(self, name: str, url: str) -> Hosted:
        with self._changed:
            taken = self._hosted.get(name)
            if taken is not None:
                raise RequestError(
                    409,
                    f"model {name[:100]!r} is {taken.state} already, from {taken.url[:200]}; "
                    "unload it first or use another name",
                )
            hosted = self._hosted[name] = Hosted(name, url)
            return hosted

    def _ready(self, name: str) -> Hosted:
        """The model, unloading from now on: no request is let in any more."""
        with self._changed:
            hosted = self.find(name)
            hosted.state = State.UNLOADING
            return hosted

    def _drain(self, hosted: Hosted) -> None:
        """No request is at work on the model when this returns."""
        assert hosted.model is not None
        is_idle = self._wait_idle(hosted, self._settings.timeout_seconds)
        hosted.model.close()
        if not is_idle and not self._wait_idle(hosted, CUT_OFF_SECONDS):
            with self._changed:
                hosted.state = State.READY
            raise RequestError(
                503, f"{hosted.in_flight} requests of this model do not end; try again", 5
            )

    def _wait_idle(self, hosted: Hosted, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: hosted.in_flight == 0, seconds)

    @contextmanager
    def _change(self) -> Iterator[None]:
        if not self._changes.acquire(blocking=False):
            raise RequestError(
                503, f"{MAX_CHANGES} models are being loaded or unloaded, the limit; try again", 1
            )
        try:
            yield
        finally:
            self._changes.release()

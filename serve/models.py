"""Models: those that a multi-model server holds, by name. Load, list, ask, unload; thread-safe."""

import logging
import os
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from contract.errors import RequestError
from contract.manifest import MANIFEST_NAME
from serve.invocation import Answer, Invocation, Model
from serve.isolated import IsolatedModel
from serve.memory import MIB, MemoryBudget, bundle_bytes, give_back, process_bytes
from serve.model import find_model_dir, load_model
from serve.service import BUSY_RETRY_SECONDS, Status
from serve.settings import MAX_CHANGES, ServeSettings
from serve.user_code import find_user_code

log = logging.getLogger(__name__)

CUT_OFF_SECONDS = 10.0  # for requests to fail whose model was closed under them


class State(StrEnum):
    """Where a model is between its first load and its last byte."""

    LOADING = "loading"
    READY = "loaded"
    UNLOADING = "unloading"


class Hosted:
    """One model under its name."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.url = name, url
        self.state = State.LOADING
        self.model: Model | None = None
        self.in_flight = 0

    def answer(self, invocation: Invocation) -> Answer:
        """The model's answer. No reference to the model outlives the call."""
        assert self.model is not None
        return self.model.answer(invocation)


class Models:
    """The registry behind /models. A name is a key and nothing else; the url says where."""

    def __init__(self, settings: ServeSettings, num_cpus: int, budget: MemoryBudget) -> None:
        self._settings, self._num_cpus, self._budget = settings, num_cpus, budget
        self._hosted: dict[str, Hosted] = {}
        self._changed = threading.Condition()
        self._changes = threading.BoundedSemaphore(MAX_CHANGES)
        self._slots = threading.BoundedSemaphore(settings.max_in_flight)
        self.status = Status.READY  # with no model at all, as SageMaker wants it
        self.reason = ""

    def describe(self) -> dict[str, Any]:
        """Facts for /ping."""
        reason = {"reason": self.reason} if self.reason else {}
        return {"status": str(self.status), **reason, "num_models": len(self._ready_names())}

    def mark_broken(self, reason: str) -> None:
        """Make /ping fail from now on, so that the platform replaces this container."""
        self.status, self.reason = Status.BROKEN, " ".join(reason.split())[:300]

    def load(self, name: str, url: str) -> None:
        """The model answers when this returns; when it fails, nothing is left behind.

        Raises RequestError: 409 when the name is taken, even before the url is looked at; 404
        when there is nothing at the url; 507 when the model does not fit. BundleError and its
        kind when what is there cannot be served, MemoryError when it turned out too large.
        """
        started = time.monotonic()
        with self._change():
            hosted = self._claim(name, url)
            try:
                hosted.model = self._read(name, find_folder(url))
            except BaseException:
                self._forget(hosted)
                raise
            facts = hosted.model.describe()
            with self._changed:
                hosted.state = State.READY  # from here on somebody else may unload it
        seconds = round(time.monotonic() - started, 2)
        log.info(
            "loaded", extra={"fields": {**facts, "model": name, "url": url, "seconds": seconds}}
        )

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
            self._forget(hosted)
        log.info("unloaded", extra={"fields": {"model": name, "url": hosted.url}})

    def find(self, name: str) -> Hosted:
        """A loaded model. Raises RequestError 404."""
        with self._changed:
            hosted = self._hosted.get(name)
            if hosted is None or hosted.state is not State.READY:
                how = "not loaded" if hosted is None else f"{hosted.state} just now"
                raise RequestError(404, f"model {name[:100]!r} is {how}; see GET /models")
            return hosted

    def page(self, limit: int, after: str) -> tuple[list[Hosted], bool]:
        """At most `limit` loaded models in the order of their names, and whether more follow."""
        names = self._ready_names()
        first = bisect_right(names, after) if after else 0
        with self._changed:
            chosen = [self._hosted[n] for n in names[first : first + limit] if n in self._hosted]
        return chosen, len(names) > first + limit

    @contextmanager
    def admit(self, name: str) -> Iterator[Callable[[Invocation], Answer]]:
        """Room for one request, taken before its body is read. Raises RequestError 404 or 503."""
        self.find(name)
        if self.status is not Status.READY:
            raise RequestError(503, "this server is broken; see /ping", BUSY_RETRY_SECONDS)
        if not self._slots.acquire(blocking=False):
            raise RequestError(
                503,
                f"{self._settings.max_in_flight} invocations are in flight, the limit; try again",
                BUSY_RETRY_SECONDS,
            )
        try:
            yield lambda invocation: self._answer(name, invocation)
        finally:
            self._slots.release()

    def _answer(self, name: str, invocation: Invocation) -> Answer:
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
        needed = process_bytes(folder) if brings_code else bundle_bytes(folder)
        with self._budget.room_for(name, needed):
            log.debug("loading %s: about %d MiB", folder, needed // MIB)
            return IsolatedModel(settings) if brings_code else load_model(settings, self._num_cpus)

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

    def _forget(self, hosted: Hosted) -> None:
        with self._changed:
            del self._hosted[hosted.name]

    def _ready_names(self) -> list[str]:
        with self._changed:
            return sorted(n for n, item in self._hosted.items() if item.state is State.READY)

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


def find_folder(url: str) -> Path:
    """Where the url points: a path of this container, from its root when relative.

    Raises RequestError: 400 for an address of another kind, 404 when no folder is there.
    """
    if "://" in url:
        raise RequestError(400, f"url {url[:200]!r}: expected the path of a folder, no address")
    folder = Path("/", url)
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        raise RequestError(404, f"url {url[:200]!r}: there is no folder {str(folder)[:200]}")
    return folder


def settings_for(folder: Path, settings: ServeSettings) -> ServeSettings:
    """The settings of one model. User code is its own: no /opt/ml/code is looked at."""
    return replace(settings, bundle=str(folder), base_dir=str(folder))


def is_program(folder: Path, settings: ServeSettings) -> bool:
    """True when serving the model means running what somebody else wrote: code or TorchScript."""
    model_dir = find_model_dir(folder)
    has_code = find_user_code(model_dir, Path(settings.base_dir), settings.program) is not None
    return has_code or not (model_dir / MANIFEST_NAME).is_file()

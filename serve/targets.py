"""Targets: models of one folder, asked for by name and loaded at first use.

On a multi-model endpoint SageMaker's front end does this: the caller names a target model, the
front end has the container load it, and when there is no room it unloads what was not used for
longest. Here the server does it itself, for `kennel serve --multi` and wherever else no SageMaker
stands in front.
"""

import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import RequestError
from contract.model_archive import unpack_model
from contract.targets import find_targets
from serve.hosted import explained
from serve.invocation import Answer, Invocation
from serve.memory import is_out_of_memory
from serve.models import Models

log = logging.getLogger(__name__)

HEADER = "X-Amzn-SageMaker-Target-Model"
MOST_SHOWN = 20  # names in an error's message
IDLE_WAIT_SECONDS = 5.0  # for some model to be asked by nobody, so that it can make room
NO_ROOM = 507


class Targets:
    """Loads and unloads models of `root` as they are asked for. Thread-safe.

    A name is only ever compared with the names found below `root`, never made into a path.
    """

    def __init__(self, models: Models, root: Path, scratch: Path, wait_seconds: float) -> None:
        """Archives are unpacked below `scratch`. A request waits so long for others' loads."""
        self._models, self._root, self._scratch = models, root, scratch
        self._wait_seconds = wait_seconds
        self._loading = threading.Lock()
        self._changed = threading.Condition()
        self._last_used: dict[str, float] = {}
        self._in_use: Counter[str] = Counter()
        self._leaving = ""  # the model that is being unloaded to make room

    @contextmanager
    def admit(self, name: str) -> Iterator[Callable[[Invocation], Answer]]:
        """Room for one request; the model is loaded and stays until the block ends.

        Raises RequestError: 400 without a name, 404 for an unknown one, 507 when the model does
        not fit even alone, 503 when others are busy, and whatever loading raises.
        """
        if not name:
            raise RequestError(400, f"name a model in the header {HEADER}; {self._offer()}")
        with self._models.slot(), self._using(name):
            yield lambda invocation: self._answer(name, invocation)

    @contextmanager
    def _using(self, name: str) -> Iterator[None]:
        """It is loaded, and not unloaded meanwhile."""
        if not self._pin(name):
            self._load_and_pin(name)
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= Counter([name])  # drops what is not above zero
                self._changed.notify_all()

    def _pin(self, name: str) -> bool:
        """Count one more user of the model. False: it is not loaded."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._leaving != name, self._wait_seconds):
                raise RequestError(503, f"{name[:100]!r} is being unloaded; try again", 1)
            if name not in self._models.names():
                return False
            self._in_use[name] += 1
            self._last_used[name] = time.monotonic()
            return True

    def _answer(self, name: str, invocation: Invocation) -> Answer:
        """The answer; when memory runs out, others make room, as on SageMaker."""
        while True:
            try:
                answer = self._models.answer(name, invocation)
            except (MemoryError, RuntimeError, OSError) as error:
                if not is_out_of_memory(error) or not self._unload_oldest():
                    raise
                continue
            if answer.status != NO_ROOM or not self._unload_oldest():
                return answer

    def _load_and_pin(self, name: str) -> None:
        """One at a time. Who waits for a turn pins nothing: who has it may need the room."""
        if not self._loading.acquire(timeout=self._wait_seconds):
            raise RequestError(503, "other models are being loaded; try again", 5)
        try:
            if self._pin(name):  # another request loaded it, while this one waited
                return
            folder = self._folder_of(name)
            while not self._fits(name, folder):
                if self._unload_oldest(IDLE_WAIT_SECONDS):
                    continue
                others = ", ".join(self._models.names()[:MOST_SHOWN])
                raise RequestError(503, f"no memory is left while {others} are at work", 1)
            if not self._pin(name):
                raise RequestError(503, f"{name[:100]!r} was unloaded just now; try again", 1)
        finally:
            self._loading.release()

    def _fits(self, name: str, folder: Path) -> bool:
        """Load it. False when that takes the room of another; raises when there is no other."""
        try:
            with explained():
                self._models.load(name, str(folder))
        except (RequestError, MemoryError) as error:
            is_full = isinstance(error, MemoryError) or error.status == NO_ROOM
            if not is_full or not self._models.names():
                raise
            return False
        return True

    def _unload_oldest(self, wait_seconds: float = 0.0) -> bool:
        """Unload the model that was not used for longest. False: all are in use."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle() and not self._leaving, wait_seconds)
            oldest = min(self._idle(), key=lambda n: self._last_used.get(n, 0.0), default=None)
            if oldest is None or self._leaving:
                return False
            self._last_used.pop(oldest, None)
            self._leaving = oldest
        log.info("making room", extra={"fields": {"model": oldest}})
        try:
            self._models.unload(oldest)
        except RequestError as error:
            if error.status != 404:  # somebody else unloaded it
                raise
        finally:
            with self._changed:
                self._leaving = ""
                self._changed.notify_all()
        return True

    def _idle(self) -> list[str]:
        return [name for name in self._models.names() if name not in self._in_use]

    def _folder_of(self, name: str) -> Path:
        """The model's folder, unpacked if it is an archive. Raises RequestError 404."""
        found = self._find().get(name)
        if found is None:
            raise RequestError(404, f"there is no target model {name[:100]!r}; {self._offer()}")
        if found.is_dir():
            return found.absolute()
        facts = found.stat()  # another archive under the same name is unpacked again
        key = f"{name}\0{facts.st_mtime_ns}\0{facts.st_size}"
        folder = self._scratch / hashlib.sha256(key.encode()).hexdigest()[:24]
        if not folder.is_dir():
            with explained():
                unpack_model(found, folder)
        return folder

    def _offer(self) -> str:
        names = list(self._find())
        more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
        return f"here are: {', '.join(names[:MOST_SHOWN]) or 'none'}{more}"

    def _find(self) -> dict[str, Path]:
        try:
            return find_targets(self._root)
        except OSError as error:
            raise RequestError(
                500, f"the models' folder {self._root} cannot be read: {error.strerror}"
            ) from error

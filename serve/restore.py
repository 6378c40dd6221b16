"""Restore: a multi-model server's process loads what the one before it held when it was killed.

Until then those models count as loaded, and requests wait for them: SageMaker believes a model to
be loaded until it has unloaded it. When one cannot be loaded again, or processes die again and
again, /ping fails, so that SageMaker replaces the container and starts from nothing.
"""

import logging
import threading
import time
from collections.abc import Sequence

from contract.errors import KennelError, RequestError
from serve.hosted import Hosted
from serve.models import Models
from serve.remembered import MOST_STARTS, Remembered

log = logging.getLogger(__name__)

# Programs of the killed process may still be ending, and hold memory.
PAUSE_SECONDS = 2.0


def restore(models: Models, remembered: Remembered) -> threading.Thread | None:
    """Begin in the background; None when there is nothing to load."""
    num_starts, entries = remembered.note_start(), remembered.entries()
    if not entries:
        return None
    if num_starts > MOST_STARTS:
        _fail(models, f"{num_starts} processes ended within minutes, with the same models loaded")
        return None
    log.warning("the process before this one ended; its %d models are loaded again", len(entries))
    expected = models.expect(entries)
    thread = threading.Thread(target=_load, args=(models, expected), name="restore", daemon=True)
    thread.start()
    return thread


def _load(models: Models, expected: Sequence[Hosted]) -> None:
    left = list(expected)
    reason = "a model could not be loaded again; the log says more"
    try:
        while left:
            _bring_up(models, left[0])
            left.pop(0)
    except (KennelError, MemoryError) as error:
        reason = f"the model from {left[0].url} cannot be loaded again: {error}"
    finally:  # whatever it was: nobody may wait for what does not come
        if left:
            _fail(models, reason)
        for hosted in left:
            models.forget(hosted)


def _bring_up(models: Models, hosted: Hosted) -> None:
    try:
        models.bring_up(hosted)
    except RequestError as error:
        if error.status != 507:
            raise
        time.sleep(PAUSE_SECONDS)
        models.bring_up(hosted)


def _fail(models: Models, reason: str) -> None:
    models.mark_broken(reason)
    log.critical("this server must be replaced: %s", reason)

"""Contained: what looks on while a job runs and must never end it, whatever goes wrong there."""

import logging
from collections.abc import Callable
from typing import TypeVar

from contract.errors import KennelError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Contained:
    """Runs the parts of one onlooker; its first error is one line, and switches it off."""

    def __init__(self, name: str) -> None:
        """`name`: as the line calls it, `the timeline`."""
        self._name = name
        self.is_off = False

    def run(self, work: Callable[[], T], otherwise: T) -> T:
        """What `work` returns; `otherwise` when it fails, or when an earlier part did.

        Raises KennelError: signals and lost hosts reach the job through such, wherever it is.
        """
        if self.is_off:
            return otherwise
        try:
            return work()
        except KennelError:
            raise
        except Exception as error:
            self.is_off = True
            log.debug("traceback", exc_info=True)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            log.warning("warning: %s is switched off, the job goes on: %s", self._name, reason)
            return otherwise

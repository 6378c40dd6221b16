"""Guard: whatever somebody's rule raises, in one line, so that the other rules go on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from contract.errors import KennelError

log = logging.getLogger(__name__)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[Value]):
    """What came of it: a value, or one line."""

    value: Value | None = None
    error: str = ""  # empty when all went well


def guarded(what: str, work: Callable[[], Value]) -> Outcome[Value]:
    """Run `work`; an error becomes one line, and its traceback stays in the log."""
    try:
        return Outcome(value=work())
    except KennelError as error:
        log.debug("%s", what, exc_info=True)
        return Outcome(error=_line(str(error)))
    except (Exception, SystemExit) as error:
        log.exception("%s failed", what)
        said = _line(str(error)) or "no message"
        return Outcome(error=f"{type(error).__name__}: {said} (traceback in the log)")


def _line(text: str) -> str:
    return " ".join(text.split())

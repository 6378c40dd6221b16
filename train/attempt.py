"""Attempt: whatever a job or a trial raises, in one line for whoever must act on it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from contract.errors import InterruptedJobError, KennelError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended."""

    code: int = 0  # an exit code: 0 done, 143 told to stop, 2 wrongly described, 1 otherwise
    reason: str = ""  # one line; empty when all went well
    kind: str = ""  # the name of the error's class
    is_expected: bool = True  # an error of our own; after others the process had better end

    @property
    def is_stopped(self) -> bool:
        """True when it was told to stop."""
        return self.code == InterruptedJobError.exit_code


def attempt(work: Callable[[], None]) -> Ended:
    """Run `work`; its errors become the result, and their tracebacks stay in the log."""
    try:
        work()
    except KennelError as error:
        log.debug("traceback", exc_info=True)
        return Ended(code=error.exit_code, reason=_line(str(error)), kind=type(error).__name__)
    except MemoryError:
        log.exception("out of memory")
        reason = "out of memory: lower batch-size or image-size, or take a larger instance"
        return Ended(code=1, reason=reason, kind="MemoryError", is_expected=False)
    except Exception as error:
        log.exception("unexpected error")
        reason = _cause(f"{type(error).__name__}: {_line(str(error))}")
        return Ended(
            code=1,
            reason=f"{reason} (traceback in the log)",
            kind=type(error).__name__,
            is_expected=False,
        )
    return Ended()


def _cause(reason: str) -> str:
    """What to do about the two failures of libraries that users meet most."""
    lowered = reason.lower()
    if "out of memory" in lowered:
        return f"out of GPU memory: lower batch-size or image-size, or set precision ({reason})"
    if "no space left" in lowered:
        return f"the disk is full: give the job a larger volume ({reason})"
    return reason


def _line(text: str) -> str:
    return " ".join(text.split())

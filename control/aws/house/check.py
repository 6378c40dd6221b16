"""Check: one thing that was looked at, what was found, and what to do about it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from contract.errors import KennelError
from control.aws_client import AwsError

# The caller may not look: that says nothing about whoever does the work.
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of `kennel doctor`."""

    check: str  # what was looked at, in a word or two
    is_ok: bool | None  # None: a fact or a note, nothing to do
    said: str
    remedy: str = ""  # what to do, a command where there is one

    def to_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "check": self.check,
            "ok": self.is_ok,
            "said": self.said,
            "remedy": self.remedy,
        }


def fine(check: str, said: str) -> Check:
    """As it should be."""
    return Check(check=check, is_ok=True, said=said)


def note(check: str, said: str, remedy: str = "") -> Check:
    """Worth knowing; nothing has to be done."""
    return Check(check=check, is_ok=None, said=said, remedy=remedy)


def wrong(check: str, said: str, remedy: str) -> Check:
    """Something must be done."""
    return Check(check=check, is_ok=False, said=said, remedy=remedy)


def looked(check: str, look: Callable[[], Check | Iterable[Check]]) -> list[Check]:
    """What `look` finds; an error of ours is a finding, and a denied look a note."""
    try:
        found = look()
        return [found] if isinstance(found, Check) else list(found)
    except AwsError as error:
        if error.code in DENIED:
            return [note(check, f"could not be looked at: {error}")]
        return [wrong(check, str(error), "")]
    except KennelError as error:
        return [wrong(check, str(error), "")]

"""Money: what a thing in AWS may cost, said before it is made, and agreed to."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from contract.errors import UsageError
from control.aws.prices import DATED, Use, price_per_hour
from control.aws.waiting import poll_seconds
from control.terminal import duration, say


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One thing that is billed while it lives."""

    what: str  # e.g. "2 x ml.m5.large, endpoint dogs"
    per_hour: float | None  # US dollars; None: the table does not know
    hours: float | None  # at most; None: until it is deleted
    note: str = ""  # e.g. "spot: usually a third of it"

    @property
    def worst(self) -> float | None:
        """US dollars, or None when there is no end or no price."""
        if self.per_hour is None or self.hours is None:
            return None
        return self.per_hour * self.hours

    def line(self) -> str:
        """One line for a person."""
        price = "unknown price" if self.per_hour is None else f"${self.per_hour:,.3f} an hour"
        until = "until it is deleted"
        if self.hours is not None:
            until = f"at most {duration(self.hours * 3600)}"
        worst = f", at most ${self.worst:,.2f}" if self.worst is not None else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.what}: {price}, {until}{worst}{note}"


def instances(
    count: int, kind: str, use: Use, what: str, hours: float | None, *, note: str = ""
) -> Cost:
    """The cost of `count` machines of one type."""
    price = price_per_hour(kind, use)
    return Cost(
        what=f"{count} x {kind}, {what}",
        per_hour=None if price is None else count * price,
        hours=hours,
        note=note,
    )


def agree(costs: Sequence[Cost], *, is_yes: bool, to: TextIO | None = None) -> None:
    """Say what it costs; go on when the person says so, or said --yes.

    Raises UsageError: they said no, or nobody is there to ask and --yes is missing; or it could not
    be waited for what is made, since the variable for that is wrong.
    """
    poll_seconds()
    for cost in costs:
        say(f"cost:    {cost.line()}", to=to)
    if any(cost.per_hour is not None for cost in costs):
        say(f"         list prices of us-east-1 as of {DATED}; yours may differ", to=to)
    confirm(is_yes=is_yes, because="this costs money", otherwise="nothing was made in AWS", to=to)


def confirm(*, is_yes: bool, because: str, otherwise: str, to: TextIO | None = None) -> None:
    """Ask whether to go on, unless --yes said so.

    Args:
        because: why it is asked, e.g. "this costs money"; for where nobody is there to ask.
        otherwise: what is the case after a no, e.g. "nothing was made in AWS".

    Raises UsageError: they said no, or nobody is there and --yes is missing.
    """
    if is_yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{because} and nobody is here to agree: add --yes")
    say("go on? [y/N] ", to=to)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError(otherwise)


def as_json(costs: Sequence[Cost]) -> list[dict[str, object]]:
    """For `-o json` and --show."""
    return [
        {
            "what": cost.what,
            "usd_per_hour": cost.per_hour,
            "hours": cost.hours,
            "worst_usd": cost.worst,
            "note": cost.note,
        }
        for cost in costs
    ]

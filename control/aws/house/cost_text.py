"""What of ours is in AWS and what it costs, as text and as data."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from control.aws.house.found import Found, dollars
from control.aws.house.inventory import Inventory
from control.aws.prices import DATED
from control.terminal import duration, table

HEADER = ("name", "kind", "what", "state", "since", "an hour", "so far", "until it ends")


def cost_json(found: Inventory, region: str, account: str, now: datetime) -> dict[str, Any]:
    """For `-o json`. Dollars are null where no price or no end is known."""
    billed = _billed(found.ours)
    return {
        "account": account,
        "region": region,
        "at": now.isoformat(timespec="seconds"),
        "prices_dated": DATED,
        "usd_per_hour": _sum(one.per_hour for one in billed),
        "usd_so_far": _sum(one.so_far(now) for one in billed),
        "usd_until_all_ended": _sum(one.until_it_ends(now) for one in billed),
        "things": [one.to_json(now) for one in found.ours],
        "untagged": [one.to_json(now) for one in found.untagged],
        "not_listed": [{"what": gap.what, "why": gap.why} for gap in found.gaps],
    }


def cost_text(found: Inventory, region: str, account: str, now: datetime) -> str:
    """For a person: what is billed by the hour first, then what costs nothing by itself."""
    billed = _billed(found.ours)
    lines = [f"account {account}, region {region}: other regions are not looked at"]
    if billed:
        lines += ["", table(HEADER, [_row(one, now) for one in billed]), ""]
        lines += _totals(billed, now)
    else:
        lines.append("nothing of ours is billed by the hour")
    for number, counted in enumerate(free_lines(found.ours)):
        lines.append(f"{'' if number else 'besides:':9}{counted}")
    lines += [f"note:    {one}" for one in _unscheduled(found)]
    for one in found.untagged:
        cost = f", {dollars(one.per_hour)} an hour" if one.is_billed else ""
        lines.append(
            f"untagged {one.kind} {one.id}: {one.what}{cost}; it has an image of ours but no tag: "
            "cleanup leaves it alone"
        )
    lines += [f"cannot be listed: {gap.what}: {gap.why}" for gap in found.gaps]
    if found.ours:
        names = found.names
        lines.append(f"next:    kennel cleanup {names[0] if len(names) == 1 else 'NAME, or --all'}")
    return "\n".join(lines)


def free_lines(things: Iterable[Found]) -> list[str]:
    """`dogs: 1 model, 2 log groups`, a line a name, of what is not billed by the hour."""
    counts: dict[str, Counter[str]] = {}
    for one in things:
        if not one.is_billed:
            counts.setdefault(one.name, Counter())[one.kind] += 1
    return [
        f"{name}: {', '.join(_counted(kind, count) for kind, count in of.items())}"
        for name, of in sorted(counts.items())
    ]


def _unscheduled(found: Inventory) -> list[str]:
    """What should end by itself by its tag, and nothing would make it."""
    if any(gap.what == "schedules" for gap in found.gaps):
        return []
    scheduled = {
        (kind, one.about.get(kind))
        for one in found.ours
        if one.kind == "schedule"
        for kind in ("endpoint", "function")
    }
    return [
        f"no schedule deletes {one.kind} {one.id} when its time is over"
        for one in found.ours
        if one.kind in ("endpoint", "function")
        and one.expires
        and (one.kind, one.id) not in scheduled
    ]


def _row(one: Found, now: datetime) -> tuple[str, ...]:
    since = one.since.strftime("%Y-%m-%d %H:%M") if one.since else "-"
    if one.ends_itself:
        until = "when its job ends"
    elif one.expires is None:
        until = "never ends by itself"
    elif one.expires <= now:
        until = "should be gone"
    else:
        left = duration((one.expires - now).total_seconds())
        until = f"{dollars(one.until_it_ends(now))} in {left}"
    prices = (dollars(one.per_hour), dollars(one.so_far(now)))
    return (one.name, f"{one.kind} {one.id}", one.what, one.state, since, *prices, until)


def _totals(billed: Sequence[Found], now: datetime) -> list[str]:
    per_hour, so_far = _sum(one.per_hour for one in billed), _sum(one.so_far(now) for one in billed)
    lines = [f"total:   {dollars(per_hour)} an hour, {dollars(so_far)} so far"]
    if unknown := [one for one in billed if one.per_hour is None]:
        what = ", ".join(sorted({one.what for one in unknown}))
        lines.append(f"         without what has no price in the table: {what}")
    ending = [one for one in billed if one.expires or one.ends_itself or one.kind == "alarm"]
    if endless := [one for one in billed if one not in ending]:
        ids = ", ".join(f"{one.kind} {one.id}" for one in endless)
        lines.append(f"         nothing ends by itself: {ids}")
    elif not any(one.ends_itself for one in billed):
        lines[0] += f", {dollars(_sum(one.until_it_ends(now) for one in billed))} until all ended"
    if late := [one.id for one in billed if one.expires and one.expires <= now]:
        lines.append(f"late:    {', '.join(late)}: delete it by hand, see next")
    lines.append(
        f"         list prices of us-east-1 as of {DATED} at today's size; yours may differ"
    )
    return lines


def _billed(things: Iterable[Found]) -> list[Found]:
    """What costs most comes first; what has no price before all."""
    billed = [one for one in things if one.is_billed]
    return sorted(billed, key=lambda one: (one.per_hour is not None, -(one.per_hour or 0), one.id))


def _sum(amounts: Iterable[float | None]) -> float:
    return sum(one for one in amounts if one is not None)


def _counted(kind: str, count: int) -> str:
    return f"{count} {kind}{'s' if count > 1 else ''}".replace("policys", "policies")

"""Ending: the alarm that wakes an endpoint from no machine has its end with the endpoint."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from control.aws.access.ending import DENIED, allowing, may_end, role_of
from control.aws.account import Account
from control.aws.call import Call
from control.aws.expiry import (
    end_expiry_call,
    find_expiry_call,
    is_end_of_expiry,
    moved,
    once_at,
    schedule_of,
)
from control.aws.scaling.requests import alarm_name
from control.aws_client import AwsError

STAYS = "what wakes it stays when the endpoint ends"


def alarm_ends(
    account: Account, endpoint: str, variants: Collection[str], *, is_waking: bool
) -> tuple[list[Call], str]:
    """(what the schedules lack, why an alarm would stay all the same). Raises AwsError.

    Args:
        variants: whose alarms come, or go.
        is_waking: they are there from now on.
    """
    try:
        calls = list(_calls(account, endpoint, variants, is_waking=is_waking))
        kept = [one for one in calls if not is_end_of_expiry(one)]
        if is_waking and any(may_end(account, one) is False for one in kept):
            return calls, f"{STAYS}: {role_of(kept[0])} may not delete it: {allowing()}"
    except AwsError as error:
        if error.code not in DENIED:
            raise
        return [], f"{STAYS}: {error}" if is_waking else str(error)
    return calls, ""


def hours_left(account: Account, endpoint: str) -> float | None:
    """Until its schedule deletes it; None: nothing does, or nobody may ask. Raises AwsError."""
    doing = f"the scheduled deletion of {endpoint}"
    try:
        found = account.find(find_expiry_call("endpoint", endpoint), doing)
    except AwsError as error:
        if error.code not in DENIED:
            raise
        return None
    at = once_at(found) if found and found.get("State") != "DISABLED" else None
    left = (at - datetime.now(UTC)).total_seconds() / 3600 if at else 0.0
    return left if left > 0 else None


def _calls(
    account: Account, endpoint: str, variants: Collection[str], *, is_waking: bool
) -> Iterator[Call]:
    """At most one. Without a schedule of the endpoint's nothing has an end."""
    doing = f"the scheduled deletion of {endpoint}"
    alarms = account.find(find_expiry_call("alarms", endpoint), doing)
    ours = [alarm_name(endpoint, one) for one in variants]
    before = _names(alarms)
    after = [one for one in before if is_waking or one not in ours]
    after += [one for one in ours if is_waking and one not in before]
    if after == before:
        return
    if not after:
        yield end_expiry_call("alarms", endpoint)
        return
    like = account.find(find_expiry_call("endpoint", endpoint), doing) or alarms
    if like:
        call = schedule_of("alarms", endpoint, like, after)
        yield moved(call) if alarms else call


def _names(schedule: Mapping[str, Any] | None) -> Sequence[str]:
    """The alarms that it deletes."""
    text = ((schedule or {}).get("Target") or {}).get("Input") or "{}"
    found = json.loads(text).get("AlarmNames", [])
    return [str(one) for one in found]

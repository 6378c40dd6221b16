"""Standing: schedules that are there delete as a role, by rights that must not be taken from it."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from contract.errors import UsageError
from control.aws.access.ending import DENIED, may_end, role_of
from control.aws.access.making import POLICY, TAKEN, Change
from control.aws.account import Account
from control.aws.call import Call
from control.aws.expiry import OUR_SCHEDULES, TARGETS
from control.aws_client import AwsError

_ACTIONS = dict(TARGETS.values())  # what a schedule calls -> its parameter


def check_schedules(account: Account, changes: Sequence[Change]) -> str:
    """Why it cannot be told whether schedules need what would go; empty where it can.

    Raises UsageError: some do, and nothing else would delete what they are to delete. AwsError.
    """
    policies = {
        one.wanted.name: one.wanted.policy
        for one in changes
        if any(line.startswith(TAKEN) for line in one.lines)
    }
    if not policies:
        return ""
    try:
        lost = [
            call.parameters
            for call in _schedules(account)
            if role_of(call) in policies
            and may_end(account, call)
            and may_end(account, call, instead={POLICY: dict(policies[role_of(call)])}) is False
        ]
    except AwsError as error:
        if error.code in DENIED:
            return str(error)
        raise
    if not lost:
        return ""
    named = ", ".join(f"{one['Name']} ({_deleted(one['Target'])})" for one in lost)
    raise UsageError(
        f"schedules that are there need what would be taken away: {named}; nothing was changed: "
        "name the files of those, too, or leave --exact out; `kennel cleanup NAME` removes a "
        "schedule with what it deletes, `aws scheduler delete-schedule --name NAME` it alone"
    )


def _schedules(account: Account) -> Iterator[Call]:
    """Ours, of this region, as the requests that would make them."""
    call = Call(
        service="scheduler", operation="ListSchedules", parameters={"NamePrefix": OUR_SCHEDULES}
    )
    for one in account.pages(call, "Schedules", "scheduled deletions"):
        where = {"Name": one["Name"], "GroupName": one.get("GroupName", "default")}
        look = Call(service="scheduler", operation="GetSchedule", parameters=where)
        found = account.find(look, f"schedule {one['Name']}") or {}
        target = found.get("Target", {})
        if str(target.get("Arn", "")).rpartition("aws-sdk:")[2] in _ACTIONS:
            parameters: dict[str, Any] = {"Name": one["Name"], "Target": target}
            yield Call(service="scheduler", operation="CreateSchedule", parameters=parameters)


def _deleted(target: dict[str, Any]) -> str:
    parameter = _ACTIONS[str(target["Arn"]).rpartition("aws-sdk:")[2]]
    names = json.loads(target["Input"])[parameter]
    return ", ".join(names) if isinstance(names, list) else str(names)

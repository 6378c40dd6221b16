"""Expiry: a schedule of EventBridge's that deletes a thing in AWS once, when its time is over.

The schedule runs in AWS, so it holds when this machine is off. Source: EventBridge Scheduler user
guide, universal targets, one-time schedules, deletion after completion.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from control.aws.account import Account
from control.aws.call import Call
from control.aws.names import shortened

Kind = Literal["endpoint", "function", "alarms"]
# What is deleted -> (its service and operation as universal targets spell them, its parameter).
# Scaling has no schedule: AWS takes it off with the endpoint, where the role may do that.
# Source: SageMaker developer guide, Delete endpoints configured for auto scaling.
TARGETS: dict[Kind, tuple[str, str]] = {
    "endpoint": ("sagemaker:deleteEndpoint", "EndpointName"),
    "function": ("lambda:deleteFunction", "FunctionName"),
    "alarms": ("cloudwatch:deleteAlarms", "AlarmNames"),
}
MAKING = "CreateSchedule"
OUR_SCHEDULES = "kennel-"  # names begin so
_ONCE = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)\)")
LONGEST_NAME = 64  # Source: EventBridge Scheduler API reference, CreateSchedule


def expires_at(hours: float, now: datetime | None = None) -> datetime | None:
    """When a thing that lives so long from `now` is deleted; None for 0, until somebody does."""
    if not hours:
        return None
    start = (now or datetime.now(UTC)).astimezone(UTC)
    return (start + timedelta(hours=hours)).replace(microsecond=0)


def schedule_name(kind: Kind, name: str) -> str:
    """The schedule's name, by which it is found again."""
    return shortened(f"kennel-{kind}-{name}", LONGEST_NAME)


def expiry_call(
    kind: Kind, name: str, at: datetime, role_arn: str, alarms: Sequence[str] = ()
) -> Call:
    """The request that makes the schedule.

    Args:
        name: of the endpoint or the function; with `alarms`, of the endpoint that they watch.
        role_arn: whom the scheduler acts as.
    """
    once = f"at({at.astimezone(UTC):%Y-%m-%dT%H:%M:%S})"
    like = {"ScheduleExpression": once, "Target": {"RoleArn": role_arn}}
    return schedule_of(kind, name, like, alarms)


def schedule_of(kind: Kind, name: str, like: Mapping[str, Any], alarms: Sequence[str]) -> Call:
    """The request that makes one: for when another one acts, and as whom.

    Args:
        like: that other one, as GetSchedule answers.
    """
    action, parameter = TARGETS[kind]
    role_arn = str(like["Target"]["RoleArn"])
    what = f"the alarms of endpoint {name}" if kind == "alarms" else f"the {kind} {name}"
    partition = role_arn.split(":")[1]
    return Call(
        service="scheduler",
        operation=MAKING,
        parameters={
            "Name": schedule_name(kind, name),
            "Description": f"kennel: deletes {what}",
            "ScheduleExpression": like["ScheduleExpression"],
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": f"arn:{partition}:scheduler:::aws-sdk:{action}",
                "RoleArn": role_arn,
                "Input": json.dumps({parameter: list(alarms) or name}),
            },
        },
    )


def end_expiry_call(kind: Kind, name: str) -> Call:
    """The request that removes the schedule."""
    return Call(
        service="scheduler",
        operation="DeleteSchedule",
        parameters={"Name": schedule_name(kind, name)},
    )


def find_expiry_call(kind: Kind, name: str) -> Call:
    """The request that looks it up."""
    return Call(
        service="scheduler",
        operation="GetSchedule",
        parameters={"Name": schedule_name(kind, name)},
    )


def once_at(schedule: Mapping[str, Any]) -> datetime | None:
    """When the schedule that GetSchedule answers acts; None where that is not once."""
    once = _ONCE.fullmatch(str(schedule.get("ScheduleExpression", "")))
    return datetime.fromisoformat(once[1]).replace(tzinfo=UTC) if once else None


def set_expiry(account: Account, call: Call, doing: str = "the scheduled deletion") -> bool:
    """Make the schedule that `expiry_call` describes, or move the one that is there: then False.

    Raises AwsError: the role does not exist, or the scheduler may not act as it.
    """
    name = {"Name": call.parameters["Name"]}
    looked = Call(service=call.service, operation="GetSchedule", parameters=name)
    if account.find(looked, doing) is None:
        account.send(call, doing)
        return True
    account.send(moved(call), doing)
    return False


def moved(call: Call) -> Call:
    """The same for a schedule that is there: one that makes it moves it, any other call stays."""
    return replace(call, operation="UpdateSchedule") if call.operation == MAKING else call


def is_end_of_expiry(call: Call) -> bool:
    """Whether the request removes a schedule, and makes or moves none."""
    return call.operation == "DeleteSchedule"


def removal_of(call: Call) -> Call:
    """The request that removes the schedule that `call` makes, moves or removes."""
    name = {"Name": call.parameters["Name"]}
    return Call(service=call.service, operation="DeleteSchedule", parameters=name)


def end_expiry(account: Account, kind: Kind, name: str) -> bool:
    """Remove the schedule; whether there was one. Raises AwsError."""
    return account.find(end_expiry_call(kind, name), "the scheduled deletion") is not None

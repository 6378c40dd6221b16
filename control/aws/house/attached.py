"""What hangs on endpoints and functions: scaling, alarms, schedules that delete, log groups.

They belong to the endpoint or the function that they name, `about` says to which. Alarms are ours
only when they are tagged: people make alarms of their own for an endpoint, too.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from control.aws.account import Account
from control.aws.call import Call
from control.aws.expiry import OUR_SCHEDULES, schedule_name
from control.aws.house.asking import found_by_each
from control.aws.house.found import Found, moment, owner, size
from control.aws.rates import ALARM_MONTH, HOURS_A_MONTH
from control.aws.tags import tags_of

SCALED = ("sagemaker", "lambda")  # namespaces of Application Auto Scaling
LOG_GROUPS = {"endpoint": "/aws/sagemaker/Endpoints/", "function": "/aws/lambda/"}
_RESOURCE = re.compile(r"(endpoint)/([^/]+)/variant/.+|(function):([^:]+):.+")


def scaling(account: Account) -> list[Found]:
    """Policies first: a target goes after them."""
    found = []
    for namespace in SCALED:
        for operation, key in (
            ("DescribeScalingPolicies", "ScalingPolicies"),
            ("DescribeScalableTargets", "ScalableTargets"),
        ):
            call = Call(
                service="application-autoscaling",
                operation=operation,
                parameters={"ServiceNamespace": namespace},
            )
            found += [_scaled(item) for item in account.pages(call, key)]
    return [one for one in found if one is not None]


def alarms(account: Account) -> list[Found]:
    """Alarms of an endpoint that are tagged as ours. Scaling's own go with its policies."""

    def look(item: Mapping[str, Any]) -> Found | None:
        call = Call(
            service="cloudwatch",
            operation="ListTagsForResource",
            parameters={"ResourceARN": item["AlarmArn"]},
        )
        tags = tags_of((account.find(call) or {}).get("Tags", []))
        if not owner(tags):
            return None
        return Found(
            kind="alarm",
            id=str(item["AlarmName"]),
            name=owner(tags),
            state=str(item.get("StateValue", "")),
            since=moment(item, "AlarmConfigurationUpdatedTimestamp"),
            per_hour=ALARM_MONTH / HOURS_A_MONTH,
        )

    call = Call(service="cloudwatch", operation="DescribeAlarms", parameters={})
    every = account.pages(call, "MetricAlarms")
    dimensions = ("EndpointName", "FunctionName")
    items = [
        item
        for item in every
        if any(one["Name"] in dimensions for one in item.get("Dimensions", []))
        and not item["AlarmName"].startswith("TargetTracking-")
    ]
    return found_by_each(look, items)


def schedules(account: Account) -> list[Found]:
    """Schedules of ours: they cannot be tagged, so their names and what they delete count."""

    def look(item: Mapping[str, Any]) -> Found | None:
        where = {"Name": item["Name"], "GroupName": item.get("GroupName", "default")}
        said = account.find(Call(service="scheduler", operation="GetSchedule", parameters=where))
        target = _target(str(item["Name"]), (said or {}).get("Target", {}).get("Input", ""))
        if said is None or not target:
            return None
        return Found(
            kind="schedule",
            id=str(item["Name"]),
            name=next(iter(target.values())),
            what=f"deletes {', '.join(f'{kind} {name}' for kind, name in target.items())}",
            state=str(item.get("State", "")),
            since=moment(item, "CreationDate"),
            about={**target, "group": where["GroupName"]},
        )

    call = Call(
        service="scheduler", operation="ListSchedules", parameters={"NamePrefix": OUR_SCHEDULES}
    )
    return found_by_each(look, account.pages(call, "Schedules"))


def log_groups(account: Account) -> list[Found]:
    """Log groups of endpoints and functions, whoever's; endpoints' have no tags."""

    def look(item: Mapping[str, Any]) -> Found:
        name = str(item["logGroupName"])
        arn = str(item.get("arn", "")).removesuffix(":*")
        call = Call(
            service="logs", operation="ListTagsForResource", parameters={"resourceArn": arn}
        )
        tags = tags_of((account.find(call) or {}).get("tags", {})) if arn else {}
        kind = next(kind for kind, prefix in LOG_GROUPS.items() if name.startswith(prefix))
        num_bytes = int(item.get("storedBytes", 0))
        return Found(
            kind="log group",
            id=name,
            name=owner(tags),
            what=size(num_bytes),
            about={kind: name.removeprefix(LOG_GROUPS[kind]), "bytes": num_bytes},
        )

    items = [
        item
        for prefix in LOG_GROUPS.values()
        for item in account.pages(
            Call(
                service="logs",
                operation="DescribeLogGroups",
                parameters={"logGroupNamePrefix": prefix},
            ),
            "logGroups",
        )
    ]
    return found_by_each(look, items)


def _scaled(item: Mapping[str, Any]) -> Found | None:
    match = _RESOURCE.fullmatch(str(item["ResourceId"]))
    if not match:
        return None
    kind, name = (match[1], match[2]) if match[1] else (match[3], match[4])
    target = {key: item[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
    since = moment(item, "CreationTime")
    if "PolicyName" in item:
        policy = str(item["PolicyName"])
        about = {kind: name, "target": target}
        return Found(
            kind="scaling policy", id=policy, what=item["ResourceId"], since=since, about=about
        )
    return Found(
        kind="scaling target",
        id=str(item["ResourceId"]),
        what=f"{item.get('MinCapacity', '?')} to {item.get('MaxCapacity', '?')}",
        since=since,
        about={kind: name, "target": target},
    )


def _target(schedule: str, text: str) -> dict[str, str]:
    """Whom a schedule deletes, from the parameters of its call: kind -> name."""
    try:
        given = json.loads(text)
    except ValueError:
        return {}
    names = {"EndpointName": "endpoint", "FunctionName": "function"}
    if not isinstance(given, dict):
        return {}
    of_alarms = schedule_name("alarms", "")
    if "AlarmNames" in given and schedule.startswith(of_alarms):
        return {"alarms of endpoint": schedule.removeprefix(of_alarms)}
    return {kind: str(given[key]) for key, kind in names.items() if key in given}

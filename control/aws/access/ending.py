"""Ending: whether the role of a schedule may delete what the schedule is to delete.

Nobody hears of a schedule that is refused: the endpoint stays, and costs. Source: EventBridge
Scheduler user guide, execution role.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from control.aws.access.grant import Statement
from control.aws.access.merging import covers, statements_of
from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws.expiry import TARGETS
from control.aws_client import AwsError

DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
_KINDS = {"endpoint": "endpoint/", "function": "function:", "alarms": "alarm:"}  # in ARNs


def may_end(account: Account, schedule: Call) -> bool | None:
    """By the role's own policies; None where they do not tell, or where nobody may look.

    Args:
        schedule: the request that `expiry_call` makes.

    Raises AwsError.
    """
    role = str(schedule.parameters["Target"]["RoleArn"])
    name = {"RoleName": role.rpartition("/")[2]}
    doing = f"role {name['RoleName']}"
    try:
        policies = [
            account.send(_iam("GetRolePolicy", **name, PolicyName=one), doing)["PolicyDocument"]
            for one in account.pages(_iam("ListRolePolicies", **name), "PolicyNames", doing)
        ]
        stated = [one for policy in policies for one in statements_of(policy)]
        wanted = list(_wanted(account.region, schedule))
        if all(any(covers(one, each) for one in stated) for each in wanted):
            return True
        others = _iam("ListAttachedRolePolicies", **name)
        if list(account.pages(others, "AttachedPolicies", doing)):
            return None
    except AwsError as error:
        if error.code in DENIED or is_missing(error):  # a role that is not there, AWS refuses
            return None
        raise
    limited = [{**one, "Condition": {}} for one in stated if one.get("Condition")]
    return None if any(covers(one, each) for one in limited for each in wanted) else False


def _wanted(region: str, schedule: Call) -> Iterator[Statement]:
    """What the role must be allowed, a statement for each thing."""
    target: Mapping[str, Any] = schedule.parameters["Target"]
    _, partition, _, _, account, _ = str(target["RoleArn"]).split(":", 5)
    asked = str(target["Arn"]).rpartition("aws-sdk:")[2]
    kind, parameter = next((kind, key) for kind, (name, key) in TARGETS.items() if name == asked)
    service, _, operation = asked.partition(":")
    given = json.loads(target["Input"])[parameter]
    for name in given if isinstance(given, list) else [given]:
        said = name.lower() if kind == "endpoint" else name
        yield {
            "Effect": "Allow",
            "Action": f"{service}:{operation[:1].upper()}{operation[1:]}",
            "Resource": f"arn:{partition}:{service}:{region}:{account}:{_KINDS[kind]}{said}",
        }


def _iam(operation: str, **parameters: Any) -> Call:
    return Call(service="iam", operation=operation, parameters=parameters)

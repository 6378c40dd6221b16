"""Ending: whether the role of a schedule may delete what the schedule is to delete.

Nobody hears of a schedule that is refused: the endpoint stays, and costs. Source: EventBridge
Scheduler user guide, execution role.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contract.errors import UsageError
from control.aws.access.grant import Policy, Statement
from control.aws.access.merging import covers, statements_of
from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws.expiry import TARGETS, is_end_of_expiry
from control.aws_client import AwsError

DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
_KINDS = {"endpoint": "endpoint/", "function": "function:", "alarms": "alarm:"}  # in ARNs


def check_end(account: Account, schedule: Call, what: str, without: str, flags: str = "") -> None:
    """Raises UsageError: the schedule would be refused, and the thing billed without end. AwsError.

    Args:
        schedule: the request that `expiry_call` makes, or the one that removes it.
        what: is deleted, e.g. "endpoint dogs".
        without: how it is made without an end, e.g. "ttl_hours = 0".
        flags: that `kennel iam create FILE.toml` needs to know of it.
    """
    if is_end_of_expiry(schedule) or may_end(account, schedule) is not False:
        return
    raise UsageError(
        f"{role_of(schedule)} may not delete {what} when its time is over, and it would stay and "
        f"cost: {allowing(flags)}; {without} makes it without an end"
    )


def may_end(
    account: Account, schedule: Call, *, instead: Mapping[str, Policy] | None = None
) -> bool | None:
    """By the role's own policies; None where they do not tell, or where nobody may look.

    Args:
        schedule: the request that `expiry_call` makes.
        instead: policies by name, as they are to be.

    Raises AwsError.
    """
    name, instead = {"RoleName": role_of(schedule)}, instead or {}
    doing = f"role {name['RoleName']}"
    try:
        policies = [
            instead[one]
            if one in instead
            else account.send(_iam("GetRolePolicy", **name, PolicyName=one), doing)[
                "PolicyDocument"
            ]
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


def allowing(flags: str = "") -> str:
    """The command that lets the role delete it. `flags`: besides the file."""
    return f"`kennel iam create FILE.toml --only expiry{flags}` allows it"


def role_of(schedule: Call) -> str:
    """The name of the role that it acts as."""
    return str(schedule.parameters["Target"]["RoleArn"]).rpartition("/")[2]


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

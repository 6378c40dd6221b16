"""Deleting: the function with all that belongs to it; half gone already is fine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control.aws.account import Account
from control.aws.call import Call
from control.aws.expiry import end_expiry_call, find_expiry_call
from control.aws.lambdas.function_spec import ALIAS, LAMBDA_ROLE, log_group_of
from control.aws.lambdas.looking import find_ours
from control.aws.lambdas.requests import on_function
from control.aws.lambdas.role import delete_policy_call, delete_role, role_name
from control.aws.tags import KIND, NAME, tags_of

WHAT = {
    "DeleteProvisionedConcurrencyConfig": "provisioned concurrency",
    "DeleteFunctionUrlConfig": "address",
    "DeleteAlias": f"alias {ALIAS}",
    "DeleteFunction": "function",
    "DeleteLogGroup": "log group",
    "DeleteSchedule": "scheduled deletion",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What went, in words, and what stays of the role."""

    gone: tuple[str, ...]
    role: str  # name; it stays unless `is_role_gone`
    is_role_gone: bool
    why_role_stays: str = ""  # empty: nobody asked to remove it


def delete_calls(name: str) -> list[Call]:
    """Everything that is sent, what costs first. What is not there is passed over."""
    live = {"Qualifier": ALIAS}
    return [
        on_function(name, "DeleteProvisionedConcurrencyConfig", **live),
        on_function(name, "DeleteFunctionUrlConfig", **live),
        on_function(name, "DeleteFunctionUrlConfig"),
        on_function(name, "DeleteAlias", Name=ALIAS),
        on_function(name, "DeleteFunction"),
        _logs("DeleteLogGroup", logGroupName=log_group_of(name)),
        end_expiry_call("function", name),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What there is of a function."""

    function: Mapping[str, Any] | None  # what GetFunction answers
    has_log: bool
    is_ending: bool  # a schedule would delete it

    @property
    def words(self) -> list[str]:
        """For a person; none for nothing at all."""
        if self.function is not None:
            return ["the function", "its address", "its log"]
        return ["its log"] * self.has_log + ["its scheduled deletion"] * self.is_ending

    @property
    def role(self) -> str:
        """The function's, or the usual one."""
        found = self.function
        return role_name(str(found["Configuration"]["Role"])) if found else LAMBDA_ROLE


def standing(account: Account, name: str) -> Standing:
    """Raises UsageError: it is not of kennel. AwsError."""
    found = find_ours(account, name)
    if found is not None:
        return Standing(function=found, has_log=True, is_ending=True)
    schedule = account.find(find_expiry_call("function", name), f"function {name}")
    has_log = _is_log_ours(account, name)
    return Standing(function=None, has_log=has_log, is_ending=schedule is not None)


def delete(account: Account, name: str, found: Standing, *, with_role: bool) -> Deleted:
    """Raises AwsError: a step is refused; typed again, it goes on."""
    role = found.role
    gone = []
    for call in delete_calls(name):
        if call.service == "lambda" and found.function is None:
            continue
        if call.operation == "DeleteLogGroup" and not found.has_log:
            continue
        if account.find(call, f"function {name}") is not None:
            gone.append(WHAT[call.operation])
    why = _why_role_stays(account, name, role) if with_role else ""
    is_role_gone = with_role and not why and delete_role(account, role)
    return Deleted(
        gone=tuple(dict.fromkeys(gone)), role=role, is_role_gone=is_role_gone, why_role_stays=why
    )


def _why_role_stays(account: Account, name: str, role: str) -> str:
    """Empty when it may go. The rights of this one function are taken off a role that stays."""
    call = Call(service="iam", operation="GetRole", parameters={"RoleName": role})
    answer = account.find(call, f"role {role}")
    if answer is None:
        return ""
    if KIND not in tags_of(answer["Role"].get("Tags")):
        return "kennel did not make it"
    every = account.pages(
        Call(service="lambda", operation="ListFunctions", parameters={}), "Functions"
    )
    users = [str(one["FunctionName"]) for one in every if role_name(str(one["Role"])) == role]
    others = [user for user in users if user != name]
    if not others:
        return ""
    account.find(delete_policy_call(role, name), f"role {role}")
    return f"{', '.join(others[:3])} use it" if len(others) > 1 else f"{others[0]} uses it"


def _is_log_ours(account: Account, name: str) -> bool:
    """Of a function that is gone: by its tags."""
    arn = f"arn:{account.partition}:logs:{account.region}:{account.id}:log-group:"
    call = _logs("ListTagsForResource", resourceArn=f"{arn}{log_group_of(name)}")
    answer = account.find(call, f"log group {log_group_of(name)}") or {}
    return NAME in tags_of(answer.get("tags", {}))


def _logs(operation: str, **parameters: Any) -> Call:
    return Call(service="logs", operation=operation, parameters=parameters)

"""Making: roles come to be allowed what the table says, besides what other files needed."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contract.errors import UsageError
from control.aws.access.difference import difference
from control.aws.access.grant import policy_of
from control.aws.access.merging import merged, text_size
from control.aws.access.roles import Role
from control.aws.access.scope import Scope
from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws.tags import NAME, Tags, tags_of
from control.aws.waiting import poll_seconds
from control.aws_client import AwsError

KIND = "iam"  # in the tag
TAKEN = "- "  # how a line of a change begins that takes something away
POLICY = "kennel"  # the inline policy; what else is on a role stays
MOST_CHARACTERS = 10_240  # of a role's inline policies. Source: IAM user guide, quotas
SHORTER = (
    "give --prefix NAME, with --bucket s3://BUCKET/PREFIX: one pattern allows all names that begin "
    "so, and takes the place of those that are listed"
)
OR_EXACT = "or --exact with all files that are still needed: what no file names goes"
NEW_SECONDS = 60.0  # until all of IAM knows what was just made


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One role as it is to be."""

    name: str
    role: Role
    trust: Mapping[str, Any]
    policy: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"trust": self.trust, "policy": self.policy}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one role needs."""

    wanted: Wanted  # with what it is allowed already
    verb: str  # created, updated or unchanged
    calls: tuple[Call, ...]
    lines: tuple[str, ...] = ()  # what comes and what goes, + and - as in a diff
    is_replacing: bool = False  # something that is there changes
    keeps_more: bool = False  # it is allowed more than these files need


def wanted_roles(roles: Sequence[Role], scope: Scope) -> list[Wanted]:
    """A role of the table may stand for several, where the files name others.

    Raises UsageError: a policy that is too long, or a role of another account.
    """
    found = []
    for role in roles:
        policy = policy_of(role.grants, scope)
        if not policy["Statement"]:  # no file has anything for it
            continue
        _check_size(role.name, policy, f"instead of the files {SHORTER}")
        for arn in scope.role(role.name):
            if arn.split(":")[4] != scope.account:
                raise UsageError(f"{arn} is of another account than {scope.account}: make it there")
            found.append(
                Wanted(
                    name=arn.rpartition("/")[2],
                    role=role,
                    trust=role.trust(scope),
                    policy=policy,
                )
            )
    return found


def creation(wanted: Wanted) -> list[Call]:
    """Everything that is sent for a role that is not there."""
    tags = Tags(name=wanted.name, kind=KIND).as_list()
    calls = [
        _iam(
            "CreateRole",
            RoleName=wanted.name,
            AssumeRolePolicyDocument=_text(wanted.trust),
            Description=f"{wanted.role.what}; made by kennel iam create",
            Tags=tags,
        ),
        _put(wanted),
    ]
    return calls + (profile_calls(wanted) if wanted.role.has_profile else [])


def profile_calls(wanted: Wanted) -> list[Call]:
    """The instance profile of the role's own name."""
    tags = Tags(name=wanted.name, kind=KIND).as_list()
    return [
        _iam("CreateInstanceProfile", InstanceProfileName=wanted.name, Tags=tags),
        _iam("AddRoleToInstanceProfile", InstanceProfileName=wanted.name, RoleName=wanted.name),
    ]


def change_of(account: Account, wanted: Wanted, *, is_exact: bool = False) -> Change:
    """What differs now: rights are added to what the role has.

    Args:
        is_exact: what is wanted is all: other rights of our policy go.

    Raises UsageError: the role is somebody else's, or its policy would be too long. AwsError.
    """
    name, doing = wanted.name, f"role {wanted.name}"
    found = account.find(_iam("GetRole", RoleName=name), doing)
    if found is None:
        return Change(wanted=wanted, verb="created", calls=tuple(creation(wanted)))
    if NAME not in tags_of(found["Role"].get("Tags")):
        raise UsageError(
            f"a role {name} is there that kennel did not make (it has no tag {NAME}): tag it, or "
            "give another name in the file"
        )
    calls, lines = [], []
    trust = found["Role"].get("AssumeRolePolicyDocument", {})
    if trust != wanted.trust:
        document = _text(wanted.trust)
        calls.append(_iam("UpdateAssumeRolePolicy", RoleName=name, PolicyDocument=document))
        lines += [f"trust: {line}" for line in difference(trust, wanted.trust)]
    answer = account.find(_iam("GetRolePolicy", RoleName=name, PolicyName=POLICY), doing) or {}
    policy = answer.get("PolicyDocument", {})
    whole = wanted if is_exact else replace(wanted, policy=merged(policy, wanted.policy))
    if changed := difference(policy, whole.policy):
        _check_size(f"{name}, with what it allows already,", whole.policy, f"{SHORTER}, {OR_EXACT}")
        calls.append(_put(whole))
        lines += changed
    if wanted.role.has_profile:
        calls += _missing_profile(account, wanted)
    return Change(
        wanted=whole,
        verb="updated" if calls else "unchanged",
        calls=tuple(calls),
        lines=tuple(lines),
        is_replacing=trust != wanted.trust or bool(policy and changed),
        keeps_more=bool(difference(whole.policy, wanted.policy)),
    )


def _check_size(whose: str, policy: Mapping[str, Any], remedy: str) -> None:
    size = text_size(policy)
    if size > MOST_CHARACTERS:
        raise UsageError(
            f"the policy of {whose} has {size:,} characters, and IAM allows {MOST_CHARACTERS:,}: "
            f"{remedy}"
        )


def make(account: Account, change: Change) -> None:
    """Send what is needed. Raises AwsError; the same command goes on."""
    doing = f"role {change.wanted.name}"
    for call in change.calls:
        _patiently(account, call, doing)


def _missing_profile(account: Account, wanted: Wanted) -> list[Call]:
    look = _iam("GetInstanceProfile", InstanceProfileName=wanted.name)
    found = account.find(look, f"instance profile {wanted.name}")
    if found is None:
        return profile_calls(wanted)
    return [] if found["InstanceProfile"]["Roles"] else profile_calls(wanted)[1:]


def _patiently(account: Account, call: Call, doing: str) -> None:
    """What was just made is not known everywhere at once; what is there already is fine."""
    until = time.monotonic() + NEW_SECONDS
    while True:
        try:
            account.send(call, doing)
            return
        except AwsError as error:
            if error.code == "EntityAlreadyExists" and call.operation.startswith("Create"):
                return
            if not is_missing(error) or time.monotonic() > until:
                raise
        time.sleep(poll_seconds())


def _put(wanted: Wanted) -> Call:
    return _iam(
        "PutRolePolicy",
        RoleName=wanted.name,
        PolicyName=POLICY,
        PolicyDocument=_text(wanted.policy),
    )


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document)


def _iam(operation: str, **parameters: Any) -> Call:
    return Call(service="iam", operation=operation, parameters=parameters)

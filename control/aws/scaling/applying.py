"""Applying: scaling is put on a variant, taken off it, and looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from control.aws.account import Account
from control.aws.call import Call
from control.aws.scaling.requests import (
    ANSWERED_ARN,
    describing_calls,
    has_tags,
    policy_call,
    registered_call,
    undo_calls,
    without_tags,
)


def apply_scaling(account: Account, calls: Sequence[Call], doing: str = "scaling") -> None:
    """Send what `scaling_calls` made; again, it changes what is there. Raises AwsError.

    The alarm that wakes an endpoint gets the ARN that AWS answered for the policy before it. What
    is registered already keeps its tags: AWS takes tags when it registers, and not later.
    """
    arn = ""
    for call in calls:
        # What is deleted need not be there.
        ask = account.find if call.operation.startswith("Delete") else account.send
        answer = ask(_with_arn(_untagged(account, call, doing), arn), doing) or {}
        arn = answer.get("PolicyARN", arn)


def as_sent(account: Account, calls: Sequence[Call], doing: str = "scaling") -> list[Call]:
    """What `apply_scaling` sends, but for the ARN that it waits for. Raises AwsError."""
    return [_untagged(account, call, doing) for call in calls]


def is_scaled_so(account: Account, calls: Sequence[Call], doing: str = "scaling") -> bool:
    """Whether bounds and policies are those of the calls already. Raises AwsError."""
    for call in calls:
        asked = call.parameters
        if call.operation == "RegisterScalableTarget":
            looking = registered_call(asked["ResourceId"], asked["ScalableDimension"])
            asked = {key: asked[key] for key in ("MinCapacity", "MaxCapacity")}
            found = account.send(looking, doing).get("ScalableTargets", [])
        elif call.operation == "PutScalingPolicy":
            policies = account.send(policy_call(asked), doing).get("ScalingPolicies", [])
            found = [one for one in policies if one["PolicyName"] == asked["PolicyName"]]
        else:
            continue
        if not found or not _is_within(asked, found[0]):
            return False
    return True


def undo_scaling(account: Account, endpoint: str, variant: str, kind: str) -> list[str]:
    """Take scaling off; the operations that found something. Twice is fine. Raises AwsError."""
    return [
        call.operation
        for call in undo_calls(endpoint, variant, kind)
        if account.find(call, f"scaling of {endpoint}, variant {variant}") is not None
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """How one variant is scaled now, in AWS's own words."""

    variant: str
    target: dict[str, Any] | None  # None: it is not scaled
    policies: tuple[dict[str, Any], ...]
    activities: tuple[dict[str, Any], ...]  # newest first


def read_scaling(account: Account, endpoint: str, variant: str, kind: str) -> Scaled:
    """Ask AWS. Raises AwsError."""
    doing = f"scaling of {endpoint}, variant {variant}"
    targets, policies, activities = describing_calls(endpoint, variant, kind)
    found = account.send(targets, doing).get("ScalableTargets", [])
    return Scaled(
        variant=variant,
        target=found[0] if found else None,
        policies=tuple(account.send(policies, doing).get("ScalingPolicies", [])),
        activities=tuple(account.send(activities, doing).get("ScalingActivities", [])),
    )


def _is_within(asked: Any, found: Any) -> bool:
    """Whether AWS has what was asked for; it may add what it takes unasked."""
    if isinstance(asked, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and _is_within(value, found[key]) for key, value in asked.items()
        )
    if isinstance(asked, list):
        return len(asked) == len(found) and all(map(_is_within, asked, found))
    return bool(asked == found)


def _untagged(account: Account, call: Call, doing: str) -> Call:
    """Without tags where the target is registered already; any other call as it is."""
    if not has_tags(call):
        return call
    target = call.parameters
    found = account.send(registered_call(target["ResourceId"], target["ScalableDimension"]), doing)
    if not found.get("ScalableTargets"):
        return call
    return without_tags(call)


def _with_arn(call: Call, arn: str) -> Call:
    if ANSWERED_ARN not in call.parameters.get("AlarmActions", ()):
        return call
    return replace(call, parameters={**call.parameters, "AlarmActions": [arn]})

"""IAM before AWS, for tests: what kennel calls must be allowed by statements of a policy.

Statements are read as AWS reads them: an action is allowed on each of its resources by some
statement whose conditions hold.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aws_needs import ACCOUNT, REGION, Asked, Need, needs

USER = f"arn:aws:iam::{ACCOUNT}:user/ann"


@dataclass
class Gate:
    """Lets through what `statements` allow; remembers which of their lines were of use."""

    statements: list[dict[str, Any]]
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # ARN -> tags
    used: set[tuple[str, str]] = field(default_factory=set)  # (Sid, action)
    refused: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked) -> str:
        """AWS's sentence of refusal, or nothing."""
        for need in needs(asked):
            context = {**need.context, "aws:RequestedRegion": REGION}
            for key, value in self.tags.get(need.resource, {}).items():
                context[f"aws:ResourceTag/{key}"] = value
            allowing = [one for one in self.statements if allows(one, need, context)]
            if not allowing:
                self.refused.append(f"{need.action} {need.resource}")
                return (
                    f"User: {USER} is not authorized to perform: {need.action} on resource: "
                    f"{need.resource} because no identity-based policy allows the "
                    f"{need.action} action"
                )
            self.used |= {(one["Sid"], need.action) for one in allowing}
        return ""


def allows(statement: Mapping[str, Any], need: Need, context: Mapping[str, str]) -> bool:
    """Whether one statement allows the need."""
    return (
        need.action in statement["Action"]
        and any(_like(need.resource, pattern) for pattern in statement["Resource"])
        and all(
            _holds(test, key, [wanted] if isinstance(wanted, str) else wanted, context)
            for test, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(test: str, key: str, wanted: list[str], context: Mapping[str, str]) -> bool:
    has = context.get(key)
    if test == "Null":
        return (has is None) == (wanted == ["true"])
    if has is None:
        return False
    if test == "StringLike":
        return any(_like(has, pattern) for pattern in wanted)
    assert test in ("StringEquals", "Bool"), test
    return has in wanted


def _like(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))

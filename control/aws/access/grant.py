"""Grant: one line of the table of rights, and the statement that it becomes."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.aws.access.scope import Scope

VERSION = "2012-10-17"  # of the policy language
Statement = dict[str, Any]
Policy = dict[str, Any]
Condition = Mapping[str, Mapping[str, str | list[str]]]


def no_condition(_: Scope) -> Condition:
    """Names alone narrow the statement."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What is allowed, on what, and why. Source of names: service authorization reference."""

    sid: str  # of the statement; each is its own in a policy
    why: str  # for the printed table
    commands: tuple[str, ...] = ()  # that call it; of a role's: none
    actions: tuple[str, ...]
    resources: Callable[[Scope], Sequence[str]]  # none: there is no such statement
    condition: Callable[[Scope], Condition] = no_condition

    def statement(self, scope: Scope) -> Statement | None:
        """As it stands in a policy; None where the scope names nothing that it is about."""
        resources = list(dict.fromkeys(self.resources(scope)))
        if not resources:
            return None
        found: Statement = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": sorted(self.actions),
            "Resource": resources,
        }
        if condition := self.condition(scope):
            found["Condition"] = {test: dict(keys) for test, keys in condition.items()}
        return found


def policy_of(grants: Iterable[Grant], scope: Scope) -> Policy:
    """The policy document."""
    stated = (grant.statement(scope) for grant in grants)
    return {"Version": VERSION, "Statement": [one for one in stated if one]}


def matches(pattern: str, text: str) -> bool:
    """Whether an ARN, or an action, is one of a pattern's: * stands for anything, ? for one."""
    parts = (re.escape(part).replace(r"\?", ".") for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), text) is not None


def named(statement: Statement, action: str, resource: str) -> bool:
    """Whether the statement is about this action on this thing; conditions are not looked at."""
    return action in statement["Action"] and any(
        matches(pattern, resource) for pattern in statement["Resource"]
    )

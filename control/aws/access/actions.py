"""Actions: the whole table: which command of people's calls what, on what, and what for."""

import json

from control.aws.access.administrator import ADMINISTRATOR
from control.aws.access.functions import FUNCTIONS
from control.aws.access.grant import VERSION, Grant, Policy, Statement
from control.aws.access.hosting import ASKING, HOSTING, SCALING
from control.aws.access.house import CHECKING, CLEANING, LISTING
from control.aws.access.jobs import JOBS, MACHINES
from control.aws.access.storage import STORAGE

PERSON = (
    *(*JOBS, *MACHINES, *STORAGE, *HOSTING, *ASKING, *SCALING, *FUNCTIONS),
    *(*LISTING, *CLEANING, *CHECKING),
)
# Source: IAM user guide, quotas: characters of a managed policy, spaces not counted.
MOST_CHARACTERS = 6144
MOST_ATTACHED = 10  # managed policies of a user, a group or a role, unless AWS raised it


def of_commands(grants: tuple[Grant, ...], commands: frozenset[str]) -> tuple[Grant, ...]:
    """Those that these commands need; of all when there are none."""
    return tuple(one for one in grants if not commands or commands & set(one.commands))


def known_commands() -> list[str]:
    """What the table knows, in its order."""
    return list(dict.fromkeys(name for one in PERSON for name in one.commands))


def documents(policy: Policy) -> list[Policy]:
    """The policy in as many parts as IAM's limit of a managed policy needs."""
    parts: list[list[Statement]] = []
    for statement in (piece for one in policy["Statement"] for piece in _pieces(one)):
        if parts and _characters([*parts[-1], statement]) <= MOST_CHARACTERS:
            parts[-1].append(statement)
        else:
            parts.append([statement])
    return [{**policy, "Statement": part} for part in parts]


def _pieces(statement: Statement) -> list[Statement]:
    """A statement of many names in so many that each fits into a policy."""
    sid = statement["Sid"]
    return [{**one, "Sid": f"{sid}{at or ''}"} for at, one in enumerate(_fitting(statement))]


def _fitting(statement: Statement) -> list[Statement]:
    """By resources, then by the values of a condition, any of which is enough."""
    if _characters([statement]) <= MOST_CHARACTERS:
        return [statement]
    if len(statement["Resource"]) > 1:
        halves = [{**statement, "Resource": half} for half in _halves(statement["Resource"])]
    else:
        ((test, keys),) = statement["Condition"].items()
        ((key, values),) = keys.items()
        halves = [{**statement, "Condition": {test: {key: half}}} for half in _halves(values)]
    return [one for half in halves for one in _fitting(half)]


def _halves(names: list[str]) -> tuple[list[str], list[str]]:
    half = len(names) // 2
    return names[:half], names[half:]


def _characters(statements: list[Statement]) -> int:
    text = json.dumps({"Version": VERSION, "Statement": statements})
    return len("".join(text.split()))


__all__ = [
    "ADMINISTRATOR",
    "MOST_ATTACHED",
    "MOST_CHARACTERS",
    "PERSON",
    "documents",
    "known_commands",
    "of_commands",
]

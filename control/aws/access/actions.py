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


def of_commands(grants: tuple[Grant, ...], commands: frozenset[str]) -> tuple[Grant, ...]:
    """Those that these commands need; of all when there are none."""
    return tuple(one for one in grants if not commands or commands & set(one.commands))


def known_commands() -> list[str]:
    """What the table knows, in its order."""
    return list(dict.fromkeys(name for one in PERSON for name in one.commands))


def documents(policy: Policy) -> list[Policy]:
    """The policy in as many parts as IAM's limit of a managed policy needs."""
    parts: list[list[Statement]] = []
    for statement in policy["Statement"]:
        if parts and _characters([*parts[-1], statement]) <= MOST_CHARACTERS:
            parts[-1].append(statement)
        else:
            parts.append([statement])
    return [{**policy, "Statement": part} for part in parts]


def _characters(statements: list[Statement]) -> int:
    text = json.dumps({"Version": VERSION, "Statement": statements})
    return len("".join(text.split()))


__all__ = [
    "ADMINISTRATOR",
    "MOST_CHARACTERS",
    "PERSON",
    "documents",
    "known_commands",
    "of_commands",
]

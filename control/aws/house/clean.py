"""Clean: removals are sent one after another; what is gone already is fine, a refusal is noted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from contract.errors import HostError
from control.aws.account import Account, is_missing
from control.aws.house.asking import sagemaker
from control.aws.house.found import Found
from control.aws.house.removal import NEEDS_ENDPOINT_GONE, STOPPED, Removal
from control.aws.waiting import wait_for
from control.aws_client import AwsError

WAIT_SECONDS = 30 * 60.0  # an endpoint goes within minutes, a large one within twenty
# What AWS says of a job that ended while we looked.
ENDED_WORDS = ("in status", "already", "cannot be stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is still there, and why."""

    thing: Found
    why: str


def clean(account: Account, removals: Sequence[Removal], say: Callable[[str], None]) -> list[Left]:
    """Remove everything in order; what is left. Goes on after a refusal.

    Endpoints are all told to go before the first is waited for. Raises UsageError: no credentials.
    """
    left: list[Left] = []
    going: list[Removal] = []
    waited = False
    for removal in removals:
        if removal.thing.kind in NEEDS_ENDPOINT_GONE and not waited:
            waited, stayed = True, _wait_until_gone(account, going, say)
            left += stayed
        if reason := _must_stay(removal.thing, left):
            left.append(Left(thing=removal.thing, why=reason))
            continue
        refusal = _send(account, removal, say)
        if refusal:
            left.append(Left(thing=removal.thing, why=refusal))
        elif removal.thing.kind == "endpoint":
            going.append(removal)
    return left if waited else left + _wait_until_gone(account, going, say)


def _must_stay(thing: Found, left: Sequence[Left]) -> str:
    """A model, a configuration, a schedule or a log group stays as long as its endpoint does."""
    endpoints = {one.thing.name for one in left if one.thing.kind == "endpoint"}
    if thing.kind in NEEDS_ENDPOINT_GONE and thing.name in endpoints:
        return "its endpoint is still there"
    return ""


def _send(account: Account, removal: Removal, say: Callable[[str], None]) -> str:
    """Why it was refused; empty when it went, or had gone."""
    thing, was_there = removal.thing, False
    for call in removal.calls:
        try:
            account.send(call)
            was_there = True
        except AwsError as error:
            if is_missing(error) or _has_ended(thing, error):
                continue
            say(f"left:    {thing.kind} {thing.id}")
            return str(error)
    done = {"stop": "stopped", "delete": "deleted", "terminate": "terminated"}[removal.verb]
    say(f"{done if was_there else 'was gone'}: {thing.kind} {thing.id}")
    return ""


def _has_ended(thing: Found, error: AwsError) -> bool:
    words = str(error).lower()
    return (
        thing.kind in STOPPED
        and error.code == "ValidationException"
        and any(part in words for part in ENDED_WORDS)
    )


def _wait_until_gone(
    account: Account, going: Sequence[Removal], say: Callable[[str], None]
) -> list[Left]:
    left = []
    for removal in going:
        thing = removal.thing
        call = sagemaker("DescribeEndpoint", EndpointName=thing.id)
        say(f"waiting: until endpoint {thing.id} is gone")
        try:
            wait_for(
                partial(account.find, call),
                lambda answer: answer is None,
                what=f"the deletion of endpoint {thing.id}",
                limit_seconds=WAIT_SECONDS,
                look_again=f"kennel cleanup {thing.name}",
            )
        except HostError as error:  # AwsError is one
            left.append(Left(thing=thing, why=str(error)))
    return left

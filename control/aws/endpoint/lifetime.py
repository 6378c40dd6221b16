"""Lifetime: what ends an endpoint are its schedules; its tags say when, and may be wrong."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from control.aws.access.ending import allowing, check_end, may_end, role_of
from control.aws.endpoint.following import Described
from control.aws.endpoint.image import DENIED
from control.aws.endpoint.marks import tag
from control.aws.endpoint.request import TTL
from control.aws.endpoint.work import Work
from control.aws.expiry import (
    end_expiry,
    find_expiry_call,
    is_end_of_expiry,
    once_at,
    schedule_name,
    set_expiry,
)
from control.aws.tags import EXPIRES, NEVER
from control.aws_client import AwsError
from control.terminal import say


@dataclass(frozen=True, slots=True)
class End:
    """When an endpoint is deleted: ISO 8601, UTC; empty for never."""

    expires: str
    trouble: str = ""  # why that will not happen

    @property
    def until(self) -> str:
        """For a sentence about what it costs."""
        return f"until {self.expires}" if self.expires else "until it is deleted"


def expiry_of(tags: Mapping[str, str]) -> str:
    """When the endpoint is deleted, as its tags say; empty for never."""
    return tags.get(EXPIRES, NEVER).replace(NEVER, "")


def end_of(work: Work, tags: Mapping[str, str]) -> End:
    """When it is deleted, as its schedule says. Whoever may not ask for that hears the tags."""
    said = expiry_of(tags)
    if not said:
        return End("")
    try:
        found = work.account.find(find_expiry_call("endpoint", work.spec.name), _doing(work))
    except AwsError as error:
        if error.code not in DENIED:
            raise
        say(f"note:    {error}", to=work.echo)
        return End(said)
    if found is None:
        return End(said, "the schedule that deletes it is gone")
    if found.get("State") == "DISABLED":
        return End(said, "the schedule that deletes it is switched off")
    at = once_at(found)
    if at is None:
        return End(said)
    expires = at.isoformat(timespec="seconds")
    return End(expires, "" if at > datetime.now(UTC) else "its schedule did not delete it")


def check_endings(work: Work) -> None:
    """Whether the schedules of the plan may delete. Raises UsageError: not the endpoint. AwsError.

    Alarms cost little: that they would stay is said.
    """
    name = work.spec.name
    for call in work.plan.endings:
        if call.parameters["Name"] != schedule_name("alarms", name):
            check_end(work.account, call, f"endpoint {name}", "ttl_hours = 0")
        elif not is_end_of_expiry(call) and may_end(work.account, call) is False:
            said = f"{role_of(call)} may not delete its alarms when its time is over: {allowing()}"
            say(f"note:    {said}", to=work.echo)


def move_expiry(work: Work, current: Described) -> End:
    """The life of an endpoint begins anew: the schedules and the tags say when it ends."""
    plan, spec = work.plan, work.spec
    tags = {TTL: f"{spec.ttl_hours:g}", EXPIRES: NEVER}
    for call in plan.endings:
        if is_end_of_expiry(call):
            work.account.find(call, _doing(work))
        else:
            set_expiry(work.account, call, _doing(work))
    if plan.expires:
        tags[EXPIRES] = plan.expires.isoformat(timespec="seconds")
    tag(work, current, tags)
    return End(expiry_of(tags))


def end_alarms(work: Work, end: End) -> None:
    """The alarms that the file asks for end when the endpoint does; those of before are gone."""
    name = schedule_name("alarms", work.spec.name)
    call = next((one for one in work.plan.endings if one.parameters["Name"] == name), None)
    if call is None:
        end_expiry(work.account, "alarms", work.spec.name)
        return
    if is_end_of_expiry(call) or not end.expires:
        return
    at = datetime.fromisoformat(end.expires).astimezone(UTC)
    wanted = {**call.parameters, "ScheduleExpression": f"at({at:%Y-%m-%dT%H:%M:%S})"}
    found = work.account.find(find_expiry_call("alarms", work.spec.name), _doing(work)) or {}
    keys = ("ScheduleExpression", "Target")
    if any(found.get(key) != wanted[key] for key in keys):
        set_expiry(work.account, replace(call, parameters=wanted), _doing(work))


@contextmanager
def while_it_answers(work: Work, end: End) -> Iterator[None]:
    """What fails inside leaves an endpoint that answers, and costs: the error says so."""
    try:
        yield
    except AwsError as error:
        name, again = work.spec.name, work.follower.look_again
        raise AwsError(
            f"{error}; endpoint {name} answers all the same, and costs {end.until}: `{again}` "
            f"goes on, `kennel cleanup {name}` removes it",
            error.code,
            error.details,
        ) from None


def _doing(work: Work) -> str:
    return f"the scheduled deletion of {work.spec.name}"

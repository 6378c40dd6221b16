"""Deploying: what is done with an endpoint depends on whether it exists, and how it is."""

from dataclasses import dataclass
from typing import Any, Literal

from contract.errors import HostError, UsageError
from control.aws.endpoint.creating import create, finish_creating, remove_failed
from control.aws.endpoint.following import SETTLED, Described, reason_of
from control.aws.endpoint.lifetime import End, expiry_of
from control.aws.endpoint.marks import own_tags
from control.aws.endpoint.plan import check_regions
from control.aws.endpoint.updating import update
from control.aws.endpoint.work import Work
from control.terminal import say

Change = Literal["created", "updated", "weights", "settings", "expiry", "unchanged", "rolled back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """An endpoint that answers, and what was done for it."""

    change: Change
    answer: Described
    expires: str  # ISO 8601, UTC; empty: never

    def to_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "endpoint": self.answer["EndpointName"],
            "change": self.change,
            "status": self.answer["EndpointStatus"],
            "configuration": self.answer["EndpointConfigName"],
            "arn": self.answer["EndpointArn"],
            "expires": self.expires or None,
            "variants": [
                {
                    "name": one["VariantName"],
                    "weight": one.get("CurrentWeight"),
                    "instances": one.get("CurrentInstanceCount"),
                }
                for one in self.answer.get("ProductionVariants", ())
            ],
        }


def deploy(work: Work, *, is_update: bool = False) -> Deployed:
    """Make the endpoint, or bring the one that is there to what the file says.

    Typed again after an interruption, it goes on where it was. `is_update`: it must exist.
    Raises UsageError, HostError, AwsError as `create` and `update` do.
    """
    name = work.spec.name
    check_regions(work.plan, work.account)
    current = work.follower.describe()
    if current and current["EndpointStatus"] == "Deleting":
        work.follower.until_gone()
        current = None
    if current and current["EndpointStatus"] == "Failed":
        own_tags(work, current)
        say(f"note:    {name} failed before ({reason_of(current)}); made anew", to=work.echo)
        remove_failed(work)
        current = None
    if current is None:
        if is_update:
            raise UsageError(f"there is no endpoint {name}: leave --update out to make it")
        answer = create(work)
        return Deployed(change="created", answer=answer, expires=_planned(work))
    tags = own_tags(work, current)
    if current["EndpointStatus"] == "Creating":
        return _go_on(work, End(expiry_of(tags)))
    current = settled(work, current)
    done = update(work, current)
    return Deployed(change=done.change, answer=done.answer, expires=done.expires)


def _planned(work: Work) -> str:
    expires = work.plan.expires
    return expires.isoformat(timespec="seconds") if expires else ""


def _go_on(work: Work, end: End) -> Deployed:
    """An earlier command began; this one waits for the rest, and then looks for differences."""
    work.is_under_way = True
    say(f"status:  {work.spec.name} is being made already", to=work.echo)
    answer = finish_creating(work, end)
    done = update(work, answer)
    change: Change = (
        "created" if done.change in ("unchanged", "settings", "expiry") else done.change
    )
    return Deployed(change=change, answer=done.answer, expires=done.expires)


def settled(work: Work, current: Described, *, may_be_broken: bool = False) -> Described:
    """Wait for whatever goes on. Raises HostError: the endpoint can only be deleted."""
    spec = work.spec
    if current["EndpointStatus"] not in SETTLED:
        work.is_under_way = True
        say(f"note:    {spec.name} is being changed already", to=work.echo)
        current = work.follower.until_settled(work.update_limit_seconds)
    if current["EndpointStatus"] != "InService" and not may_be_broken:
        raise HostError(
            f"endpoint {spec.name}: {current['EndpointStatus']}: {reason_of(current)}; "
            f"`{work.way_back}` tries the configuration before, "
            f"`kennel cleanup {spec.name}` removes it"
        )
    return current

"""Deploying: what is done with an endpoint depends on whether it exists, and how it is."""

from dataclasses import dataclass
from typing import Any, Literal

from contract.errors import HostError, UsageError
from control.aws.call import Call
from control.aws.endpoint.creating import create, finish_creating, remove_failed
from control.aws.endpoint.following import SETTLED, Described, reason_of
from control.aws.endpoint.request import PREVIOUS, sagemaker_call, update_call
from control.aws.endpoint.updating import expiry_of, own_tags, take_over, types_of, update
from control.aws.endpoint.work import Work
from control.terminal import say

Change = Literal["created", "updated", "weights", "unchanged", "rolled back"]


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
    name = work.plan.spec.name
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
    own_tags(work, current)
    if current["EndpointStatus"] == "Creating":
        return _go_on(work)
    current = _settled(work, current)
    done = update(work, current)
    return Deployed(change=done.change, answer=done.answer, expires=done.expires)


def previous_call(work: Work, current: Described) -> Call:
    """The UpdateEndpoint that goes back. Raises UsageError: there is nothing to go back to."""
    spec = work.plan.spec
    name = own_tags(work, current).get(PREVIOUS, "")
    if not name or name == current["EndpointConfigName"]:
        raise UsageError(f"endpoint {spec.name} has no earlier configuration to go back to")
    now, before = (_config(work, one) for one in (current["EndpointConfigName"], name))
    if before is None:
        raise UsageError(f"the earlier configuration {name} of {spec.name} does not exist any more")
    is_counted_anew = now is None or types_of(now) != types_of(before)
    return update_call(spec, name, None, is_counted_anew=is_counted_anew)


def roll_back(work: Work) -> Deployed:
    """Give the endpoint the configuration that it had before, all at once.

    Raises UsageError: there is none. HostError: AWS could not. AwsError.
    """
    current = work.follower.describe()
    if current is None:
        raise UsageError(f"there is no endpoint {work.plan.spec.name}")
    current = _settled(work, current, may_be_broken=True)
    call = previous_call(work, current)
    back = call.parameters["EndpointConfigName"]
    say(f"update:  {current['EndpointConfigName']} -> {back}, back again", to=work.echo)
    tags = own_tags(work, current)
    answer = take_over(work, current, call, tags)
    return Deployed(change="rolled back", answer=answer, expires=expiry_of(tags))


def _planned(work: Work) -> str:
    expires = work.plan.expires
    return expires.isoformat(timespec="seconds") if expires else ""


def _go_on(work: Work) -> Deployed:
    """An earlier command began; this one waits for the rest, and then looks for differences."""
    work.is_under_way = True
    say(f"status:  {work.plan.spec.name} is being made already", to=work.echo)
    answer = finish_creating(work)
    done = update(work, answer)
    change: Change = "created" if done.change == "unchanged" else done.change
    return Deployed(change=change, answer=done.answer, expires=done.expires)


def _settled(work: Work, current: Described, *, may_be_broken: bool = False) -> Described:
    """Wait for whatever goes on. Raises HostError: the endpoint can only be deleted."""
    spec = work.plan.spec
    if current["EndpointStatus"] not in SETTLED:
        work.is_under_way = True
        say(f"note:    {spec.name} is being changed already", to=work.echo)
        current = work.follower.until_settled(work.limit_seconds + spec.update.seconds)
    if current["EndpointStatus"] != "InService" and not may_be_broken:
        raise HostError(
            f"endpoint {spec.name}: {current['EndpointStatus']}: {reason_of(current)}; "
            f"`kennel deploy {spec.path} --roll-back` tries the configuration before, "
            f"`kennel cleanup {spec.name}` removes it"
        )
    return current


def _config(work: Work, name: str) -> dict[str, Any] | None:
    call = sagemaker_call("DescribeEndpointConfig", EndpointConfigName=name)
    return work.account.find(call, f"configuration {name}")

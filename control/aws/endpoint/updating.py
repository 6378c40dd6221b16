"""Updating: an endpoint that exists gets a new configuration, other weights, or nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from contract.errors import UsageError
from control.aws.call import Call
from control.aws.endpoint.following import (
    Described,
    EndpointFailedError,
    advice_for,
    reason_of,
)
from control.aws.endpoint.plan import costs_of
from control.aws.endpoint.request import PREVIOUS, TTL, sagemaker_call, update_call, weights_call
from control.aws.endpoint.traffic import check_alarms, deployment_config, ringing
from control.aws.endpoint.unused import remove_unused
from control.aws.endpoint.work import Work, are_same_weights
from control.aws.expiry import is_end_of_expiry, set_expiry
from control.aws.money import agree
from control.aws.scaling.applying import apply_scaling, undo_scaling
from control.aws.scaling.requests import registered_call, target_of
from control.aws.tags import EXPIRES, NAME, NEVER, tags_of
from control.aws_client import AwsError
from control.terminal import say

Change = Literal["updated", "weights", "expiry", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """What was done to an endpoint, and how it is now."""

    change: Change
    answer: Described
    expires: str = ""  # ISO 8601, UTC; empty: never


def update(work: Work, current: Described) -> Updated:
    """Bring a settled endpoint to what the file says; the configuration before is kept.

    Raises UsageError: the endpoint is not kennel's, or nobody agreed. HostError: the update was
    rolled back or failed, with the reason. AwsError.
    """
    plan, spec = work.plan, work.spec
    tags = own_tags(work, current)
    is_other_ttl = tags.get(TTL) != f"{spec.ttl_hours:g}"
    if current["EndpointConfigName"] != plan.config_name:
        answer = _replace(work, current, tags)
        return Updated(change="updated", answer=answer, expires=move_expiry(work, answer))
    work.publish_models()
    if is_other_ttl or _may_grow(work):
        agree(costs_of(spec), is_yes=work.is_yes, to=work.echo)
    change: Change = "unchanged"
    wanted = {one.name: one.weight for one in spec.variants}
    if not are_same_weights(_weights_now(current), wanted):
        work.account.send(weights_call(spec), f"the weights of {spec.name}")
        work.is_under_way = True
        current, change = work.follower.until_settled(work.limit_seconds), "weights"
    expires = expiry_of(tags)
    if is_other_ttl:
        expires = move_expiry(work, current)
        change = "expiry" if change == "unchanged" else change
    if plan.scaling:
        apply_scaling(work.account, plan.scaling, f"scaling of {spec.name}")
    return Updated(change=change, answer=current, expires=expires)


def _may_grow(work: Work) -> bool:
    """Whether the file lets scaling start more machines than somebody has agreed to before."""
    spec = work.spec
    if spec.scaling is None:
        return False
    for one in spec.variants:
        target = target_of(spec.name, one.name, spec.kind)
        call = registered_call(target["ResourceId"], target["ScalableDimension"])
        found = work.account.send(call, f"scaling of {spec.name}").get("ScalableTargets", [])
        if spec.scaling.maximum > (found[0]["MaxCapacity"] if found else one.instance_count):
            return True
    return False


def own_tags(work: Work, current: Described) -> dict[str, str]:
    """The endpoint's tags. Raises UsageError: somebody else made it."""
    call = sagemaker_call("ListTags", ResourceArn=current["EndpointArn"])
    name = work.spec.name
    tags = tags_of(list(work.account.pages(call, "Tags", f"the tags of {name}")))
    if NAME not in tags:
        raise UsageError(
            f"an endpoint {name} exists, and kennel did not make it: give another name with --name"
        )
    return tags


def expiry_of(tags: Mapping[str, str]) -> str:
    """When the endpoint is deleted, as its tags say; empty for never."""
    return tags.get(EXPIRES, NEVER).replace(NEVER, "")


def move_expiry(work: Work, current: Described) -> str:
    """The life of an endpoint begins anew: the schedules and the tags say when it ends.

    Returns that time, in ISO 8601; empty for never.
    """
    plan, spec = work.plan, work.spec
    tags = {TTL: f"{spec.ttl_hours:g}", EXPIRES: NEVER}
    doing = f"the scheduled deletion of {spec.name}"
    for call in plan.endings:
        if is_end_of_expiry(call):
            work.account.find(call, doing)
        else:
            set_expiry(work.account, call, doing)
    if plan.expires:
        tags[EXPIRES] = plan.expires.isoformat(timespec="seconds")
    tag(work, current, tags)
    return expiry_of(tags)


def tag(work: Work, current: Described, tags: Mapping[str, str]) -> None:
    """Put tags on the endpoint; those of the same key change."""
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    call = sagemaker_call("AddTags", ResourceArn=current["EndpointArn"], Tags=listed)
    work.account.send(call, f"the tags of {work.spec.name}")


def take_over(work: Work, current: Described, call: Call, tags: Mapping[str, str]) -> Described:
    """Send UpdateEndpoint and wait; the endpoint's tag says which configuration it had.

    Raises HostError: it was rolled back, or failed. AwsError.
    """
    spec, before = work.spec, current["EndpointConfigName"]
    wanted = call.parameters["EndpointConfigName"]
    work.patiently(call, f"endpoint {spec.name}")
    work.is_under_way = True
    tag(work, current, {PREVIOUS: before})
    answer = work.follower.until_settled(work.limit_seconds + spec.update.seconds)
    if answer["EndpointStatus"] == "InService" and answer["EndpointConfigName"] == wanted:
        return answer
    if PREVIOUS in tags:
        tag(work, current, {PREVIOUS: tags[PREVIOUS]})
    raise _not_updated(work, answer, before)


def types_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Variant -> instance type of a configuration; empty words for a serverless one."""
    return {
        str(one["VariantName"]): str(one.get("InstanceType", ""))
        for one in config["ProductionVariants"]
    }


def _replace(work: Work, current: Described, tags: Mapping[str, str]) -> Described:
    plan, spec = work.plan, work.spec
    check_alarms(work.account, spec)
    before = work.account.send(
        sagemaker_call("DescribeEndpointConfig", EndpointConfigName=current["EndpointConfigName"]),
        f"the configuration of {spec.name}",
    )
    old, new = types_of(before), types_of(plan.config.parameters)
    deployment = deployment_config(spec)
    if deployment and old.keys() != new.keys():
        raise UsageError(
            f"{spec.path}: update: traffic is shifted between variants of the same names only; "
            f"{spec.name} has {', '.join(old)}: leave [update] out for this change"
        )
    agree(costs_of(spec, is_update=True), is_yes=work.is_yes, to=work.echo)
    work.make_parts()
    work.make_alarms(is_undone=False)
    call = plan.update
    if old != new:
        # AWS refuses other machines while scaling counts them; its counts do not carry over.
        for variant in old:
            undo_scaling(work.account, spec.name, variant, spec.kind)
        call = update_call(spec, plan.config_name, deployment, is_counted_anew=True)
    say(f"update:  {current['EndpointConfigName']} -> {plan.config_name}", to=work.echo)
    answer = take_over(work, current, call, tags)
    if plan.scaling:
        apply_scaling(work.account, plan.scaling, f"scaling of {spec.name}")
    keep = {plan.config_name, str(current["EndpointConfigName"])}
    _remove_unused(work, keep)
    return answer


def _remove_unused(work: Work, keep: Collection[str]) -> None:
    """What lies about costs nothing: that it cannot be removed fails no update."""
    try:
        for name in remove_unused(work.account, work.spec.name, keep):
            say(f"removed: {name}, which nothing uses any more", to=work.echo)
    except AwsError as error:
        say(f"note:    old configurations stay: {error}", to=work.echo)


def _not_updated(work: Work, answer: Described, before: str) -> EndpointFailedError:
    """The error of an update that did not hold; says the log and removes the new parts."""
    spec, reason = work.spec, reason_of(answer)
    work.follower.say_log()
    advice = advice_for(reason)
    said = f"{reason}; {advice}" if advice else reason
    if answer["EndpointStatus"] == "InService":
        if rang := ringing(work.account, spec):
            said = f"the alarm {' and '.join(rang)} rang; {said}"
        work.undo()
        return EndpointFailedError(
            f"endpoint {spec.name}: the update was rolled back: {said}; it answers as before, "
            f"with {before}"
        )
    return EndpointFailedError(
        f"endpoint {spec.name}: {answer['EndpointStatus']}: {said}; "
        f"`kennel cleanup {spec.name}` removes it"
    )


def _weights_now(current: Described) -> dict[str, float]:
    return {
        str(one["VariantName"]): float(one.get("DesiredWeight", one.get("CurrentWeight", 0.0)))
        for one in current.get("ProductionVariants", ())
    }

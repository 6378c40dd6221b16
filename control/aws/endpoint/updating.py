"""Updating: an endpoint that exists becomes what its file says, all of it or what differs."""

from dataclasses import dataclass
from typing import Literal

from control.aws.endpoint.dropping import drop_scaling, settle_alarms, unwanted_scaling
from control.aws.endpoint.following import Described
from control.aws.endpoint.lifetime import (
    End,
    check_endings,
    end_alarms,
    end_of,
    move_expiry,
    while_it_answers,
)
from control.aws.endpoint.marks import own_tags, tag_as_file_says
from control.aws.endpoint.plan import costs_of
from control.aws.endpoint.request import TTL, weights_call
from control.aws.endpoint.taking_over import give_configuration
from control.aws.endpoint.work import Work, are_same_weights
from control.aws.money import agree
from control.aws.scaling.applying import apply_scaling, is_scaled_so
from control.aws.scaling.requests import registered_call, target_of
from control.terminal import say

Change = Literal["updated", "weights", "settings", "expiry", "unchanged"]
CHANGES: tuple[Change, ...] = ("updated", "weights", "settings", "expiry", "unchanged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """What was done to an endpoint, and how it is now."""

    change: Change  # the most that was
    answer: Described
    expires: str = ""  # ISO 8601, UTC; empty: never


def update(work: Work, current: Described) -> Updated:
    """Bring a settled endpoint to what the file says; the configuration before is kept.

    Raises UsageError: the endpoint is not kennel's, or nobody agreed. HostError: the update was
    rolled back or failed, with the reason. AwsError.
    """
    tags = own_tags(work, current)
    if current["EndpointConfigName"] == work.plan.config_name:
        return _adjust(work, current, tags)
    check_endings(work)
    answer = give_configuration(work, current, tags)
    end = move_expiry(work, answer)
    with while_it_answers(work, end):
        _settle(work, tags, end, unwanted_scaling(work, current), (current, answer))
    return Updated(change="updated", answer=answer, expires=end.expires)


def _adjust(work: Work, current: Described, tags: dict[str, str]) -> Updated:
    """The configuration is the file's already: what is around it may not be."""
    spec = work.spec
    end, unwanted = end_of(work, tags), unwanted_scaling(work, current)
    is_other_end = bool(end.trouble) or tags.get(TTL) != f"{spec.ttl_hours:g}"
    counts = _counts_now(work, current) if unwanted else {}
    more = {one for one, now in counts.items() if _count_in_file(work, one) > now}
    if is_other_end:
        check_endings(work)
    if is_other_end or more or _may_grow(work):
        agree(costs_of(spec), is_yes=work.is_yes, to=work.echo)
    changes: list[Change] = ["settings" if work.publish_models() else "unchanged"]
    if is_other_end:
        if end.trouble:
            say(f"note:    {end.trouble}: its time begins anew", to=work.echo)
        end = move_expiry(work, current)
        changes.append("expiry")
    with while_it_answers(work, end):
        if _settle(work, tags, end, unwanted, (current,)):
            changes.append("settings")
        is_other_count = any(_count_in_file(work, one) != now for one, now in counts.items())
        wanted = {one.name: one.weight for one in spec.variants}
        is_other_weight = not are_same_weights(_weights_now(current), wanted)
        if is_other_weight or is_other_count:
            call = weights_call(spec, with_counts=is_other_count)
            work.account.send(call, f"the weights of {spec.name}")
            work.is_under_way = True
            current = work.follower.until_settled(work.limit_seconds)
            changes.append("weights" if is_other_weight else "settings")
    return Updated(change=min(changes, key=CHANGES.index), answer=current, expires=end.expires)


def _settle(
    work: Work,
    tags: dict[str, str],
    end: End,
    unwanted: dict[str, str],
    described: tuple[Described, ...],
) -> bool:
    """Scaling, alarms and tags as the file has them; whether something was not.

    Args:
        tags: the endpoint's own, as they were.
        unwanted: what is scaled and is not so in the file.
        described: AWS's answers about the endpoint, before and now.
    """
    plan = work.plan
    drop_scaling(work, unwanted)
    is_other = settle_alarms(work, described)
    doing = f"scaling of {work.spec.name}"
    is_scaled = not plan.scaling or is_scaled_so(work.account, plan.scaling, doing)
    if plan.scaling:  # also what wakes it, which nobody has looked at
        apply_scaling(work.account, plan.scaling, doing)
    if plan.alarm_names or unwanted or is_other or not is_scaled:
        end_alarms(work, end)
    is_tagged = tag_as_file_says(work, described[-1], tags)
    return bool(unwanted) or is_other or is_tagged or not is_scaled


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


def _weights_now(current: Described) -> dict[str, float]:
    return {
        str(one["VariantName"]): float(one.get("DesiredWeight", one.get("CurrentWeight", 0.0)))
        for one in current.get("ProductionVariants", ())
    }


def _counts_now(work: Work, current: Described) -> dict[str, int]:
    """Variant of the file -> how many machines, or how much concurrency, it is to have now."""
    names = {one.name for one in work.spec.variants}
    found = {}
    for one in current.get("ProductionVariants", ()):
        if one["VariantName"] not in names:
            continue
        if work.spec.serverless:
            config = one.get("DesiredServerlessConfig", one.get("CurrentServerlessConfig", {}))
            count = config.get("ProvisionedConcurrency")
        else:
            count = one.get("DesiredInstanceCount", one.get("CurrentInstanceCount"))
        if count is not None:
            found[str(one["VariantName"])] = int(count)
    return found


def _count_in_file(work: Work, variant: str) -> int:
    spec = work.spec
    if spec.serverless:
        return spec.serverless.provisioned_concurrency
    return next(one.instance_count for one in spec.variants if one.name == variant)

"""Taking over: an endpoint gets another configuration, and what becomes of that is said."""

from collections.abc import Collection, Mapping
from typing import Any

from contract.errors import HostError, UsageError
from control.aws.call import Call
from control.aws.endpoint.following import (
    Described,
    EndpointFailedError,
    advice_for,
    reason_of,
)
from control.aws.endpoint.marks import tag
from control.aws.endpoint.plan import costs_of
from control.aws.endpoint.request import PREVIOUS, sagemaker_call, update_call
from control.aws.endpoint.traffic import check_alarms, deployment_config, ringing
from control.aws.endpoint.unused import remove_unused
from control.aws.endpoint.update_policy import FEWEST
from control.aws.endpoint.work import Work
from control.aws.money import agree
from control.aws.scaling.applying import undo_scaling
from control.aws.scaling.variants import scaled_variants
from control.aws_client import AwsError
from control.terminal import say

UNKNOWN = "unknown"  # the type of machines whose configuration is gone


def give_configuration(work: Work, current: Described, tags: Mapping[str, str]) -> Described:
    """Make the configuration of the file, and let it take over; the one before is kept.

    `tags`: the endpoint's own. Raises UsageError: nobody agreed, or traffic cannot be shifted.
    HostError: the update was rolled back or failed, with the reason. AwsError.
    """
    plan, spec = work.plan, work.spec
    check_alarms(work.account, spec)
    before = str(current["EndpointConfigName"])
    found = find_config(work, before)
    old, new = types_of(found or current), types_of(plan.config.parameters)
    deployment = deployment_config(spec)
    if deployment and old.keys() != new.keys():
        raise UsageError(
            f"{spec.path}: update: traffic is shifted between variants of the same names only; "
            f"{spec.name} has {', '.join(old)}: leave [update] out for this change"
        )
    _check_parts(work, current, is_counted_anew=old != new)
    agree(costs_of(spec, is_update=True), is_yes=work.is_yes, to=work.echo)
    if found is None:
        say(f"note:    configuration {before} is gone: there is no way back to it", to=work.echo)
    call = plan.update
    off: list[str] = []
    try:
        work.make_parts()
        work.make_alarms(is_undone=False)
        if old != new:
            off = end_scaling(work)
            call = update_call(spec, plan.config_name, deployment, is_counted_anew=True)
        say(f"update:  {before} -> {plan.config_name}", to=work.echo)
        answer = take_over(work, current, call, tags)
    except HostError as error:
        if off:
            say(
                f"note:    scaling was taken off: `kennel scale apply {spec.path}` puts it on, "
                "also with the endpoint's name and flags",
                to=work.echo,
            )
        if isinstance(error, AwsError) and not work.is_under_way:
            raise _not_begun(work, error) from None
        raise
    _remove_unused(work, {plan.config_name, before})
    return answer


def _check_parts(work: Work, current: Described, *, is_counted_anew: bool) -> None:
    """Raises UsageError: the update begins with a part of the machines, and there is one alone."""
    spec, policy = work.spec, work.spec.update
    is_kept = spec.scaling is not None and not is_counted_anew
    counted = current if is_kept else work.plan.config.parameters
    more = (
        f"`kennel scale apply {spec.path} --min {FEWEST}`" if is_kept else f"scaling.min = {FEWEST}"
    )
    for one in counted["ProductionVariants"]:
        count = one.get("CurrentInstanceCount", one.get("InitialInstanceCount", FEWEST))
        if not policy.takes(int(count)):
            raise UsageError(
                f"{spec.path}: update.strategy: {policy.strategy} begins with half of the machines "
                f'at most, and variant {one["VariantName"]} has {count}: take "all-at-once", or '
                f"{more} first"
            )


def end_scaling(work: Work) -> list[str]:
    """AWS refuses other machines while scaling counts those that are there, by its variants."""
    name = work.spec.name
    kinds = scaled_variants(work.account, name)
    return [one for one, kind in kinds.items() if undo_scaling(work.account, name, one, kind)]


def take_over(work: Work, current: Described, call: Call, tags: Mapping[str, str]) -> Described:
    """Send UpdateEndpoint and wait; the endpoint's tag says which configuration it had.

    Raises HostError: it was rolled back, or failed. AwsError.
    """
    spec, before = work.spec, current["EndpointConfigName"]
    wanted = call.parameters["EndpointConfigName"]
    try:
        work.patiently(call, f"endpoint {spec.name}")
    except AwsError as error:
        work.is_unsure = error.is_transient
        raise
    work.is_under_way = True
    tag(work, current, {PREVIOUS: before})
    answer = work.follower.until_settled(work.update_limit_seconds)
    if answer["EndpointStatus"] == "InService" and answer["EndpointConfigName"] == wanted:
        return answer
    if PREVIOUS in tags:
        tag(work, current, {PREVIOUS: tags[PREVIOUS]})
    raise _not_updated(work, answer, before)


def find_config(work: Work, name: str) -> dict[str, Any] | None:
    """AWS's answer to DescribeEndpointConfig; None when somebody has deleted it."""
    call = sagemaker_call("DescribeEndpointConfig", EndpointConfigName=name)
    return work.account.find(call, f"configuration {name}")


def types_of(described: Mapping[str, Any]) -> dict[str, str]:
    """Variant -> instance type of a configuration; empty words for a serverless one.

    An endpoint itself, whose configuration is gone, tells its variants alone.
    """
    is_known = "EndpointStatus" not in described
    return {
        str(one["VariantName"]): str(one.get("InstanceType", "")) if is_known else UNKNOWN
        for one in described["ProductionVariants"]
    }


def _remove_unused(work: Work, keep: Collection[str]) -> None:
    """What lies about costs nothing: that it cannot be removed fails no update."""
    try:
        for name in remove_unused(work.account, work.spec.name, keep):
            say(f"removed: {name}, which nothing uses any more", to=work.echo)
    except AwsError as error:
        say(f"note:    old configurations stay: {error}", to=work.echo)


def _not_begun(work: Work, error: AwsError) -> AwsError:
    """The error of an update that AWS did not take: its parts go, unless it may have begun."""
    told = str(error)
    if work.is_unsure:
        name, again = work.spec.name, work.follower.look_again
        told = (
            f"{told}; the update of {name} to {work.plan.config_name}, which is there for it, may "
            f"have begun all the same: `{again}` looks, and goes on"
        )
    else:
        work.undo()
    return AwsError(told, error.code, error.details)


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

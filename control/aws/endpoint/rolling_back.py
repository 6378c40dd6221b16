"""Rolling back: an endpoint gets the configuration that it had before, without any bundle."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from contract.errors import UsageError
from control.aws.call import Call
from control.aws.endpoint.deploying import Deployed, settled
from control.aws.endpoint.following import Described
from control.aws.endpoint.lifetime import End, end_of
from control.aws.endpoint.marks import own_tags
from control.aws.endpoint.options import Serverless
from control.aws.endpoint.plan import BOTH, serverless_cost
from control.aws.endpoint.request import PREVIOUS, update_call
from control.aws.endpoint.taking_over import end_scaling, find_config, take_over, types_of
from control.aws.endpoint.work import Work
from control.aws.missing_endpoint import no_endpoint
from control.aws.money import Cost, agree, instances
from control.terminal import say

Config = Mapping[str, Any]  # AWS's answer to DescribeEndpointConfig


def previous_call(work: Work) -> Call:
    """The UpdateEndpoint that goes back. Raises UsageError: there is nothing to go back to."""
    current = _described(work)
    before, now = _configs(work, current)
    return _back_call(work, before, now)


def roll_back(work: Work) -> Deployed:
    """Give the endpoint the configuration that it had before, all at once.

    Raises UsageError: there is none, or nobody agreed. HostError: AWS could not. AwsError.
    """
    current = settled(work, _described(work), may_be_broken=True)
    before, now = _configs(work, current)
    call = _back_call(work, before, now)
    tags = own_tags(work, current)
    end = end_of(work, tags)
    agree(_costs_of(work.spec.name, before, end), is_yes=work.is_yes, to=work.echo)
    if end.trouble:
        again = f"`kennel deploy {work.spec.path}`"
        say(f"note:    {end.trouble}: {again} gives it an end again", to=work.echo)
    if now is None or types_of(now) != types_of(before):
        _end_scaling(work)
    back = call.parameters["EndpointConfigName"]
    say(f"update:  {current['EndpointConfigName']} -> {back}, back again", to=work.echo)
    answer = take_over(work, current, call, tags)
    return Deployed(change="rolled back", answer=answer, expires=end.expires)


def _described(work: Work) -> Described:
    current = work.follower.describe()
    if current is None:
        raise no_endpoint(work.account, work.spec.name)
    return current


def _configs(work: Work, current: Described) -> tuple[Config, Config | None]:
    """(the configuration before, the one that answers now). Raises UsageError: nothing before."""
    spec = work.spec
    name = own_tags(work, current).get(PREVIOUS, "")
    if not name or name == current["EndpointConfigName"]:
        raise UsageError(f"endpoint {spec.name} has no earlier configuration to go back to")
    now, before = (find_config(work, one) for one in (current["EndpointConfigName"], name))
    if before is None:
        raise UsageError(
            f"the earlier configuration {name} of {spec.name} does not exist any more: "
            f"`kennel deploy {spec.path}` gives it that of the file"
        )
    return before, now


def _back_call(work: Work, before: Config, now: Config | None) -> Call:
    is_counted_anew = now is None or types_of(now) != types_of(before)
    name = str(before["EndpointConfigName"])
    return update_call(work.spec, name, None, is_counted_anew=is_counted_anew)


def _end_scaling(work: Work) -> None:
    """Said, since nothing puts it on again: there is no file that this configuration is of."""
    if end_scaling(work):
        again = f"`kennel scale apply {work.spec.path}`, or with the endpoint's name and flags"
        say(f"note:    other machines, so scaling was taken off: {again}", to=work.echo)


def _costs_of(name: str, config: Config, end: End) -> list[Cost]:
    """What the endpoint comes to with this configuration, until its end as it stands."""
    hours = None
    if end.expires and not end.trouble:
        left = datetime.fromisoformat(end.expires) - datetime.now(UTC)
        hours = max(left.total_seconds(), 0.0) / 3600
    costs = []
    for one in config["ProductionVariants"]:
        if options := one.get("ServerlessConfig"):
            serverless = Serverless(
                memory_mb=options["MemorySizeInMB"],
                max_concurrency=options["MaxConcurrency"],
                provisioned_concurrency=options.get("ProvisionedConcurrency", 0),
            )
            costs.append(serverless_cost(name, serverless, hours))
            continue
        what = f"endpoint {name}, variant {one['VariantName']}"
        count = one.get("InitialInstanceCount", 1)
        costs.append(instances(count, one["InstanceType"], "hosting", what, hours, note=BOTH))
    return costs

"""Dropping: scaling and alarms that the file no longer asks for are taken off the endpoint."""

from collections.abc import Iterable, Mapping
from typing import Any

from control.aws.endpoint.following import Described
from control.aws.endpoint.image import DENIED
from control.aws.endpoint.payload import kind_of
from control.aws.endpoint.traffic import alarm_removal, alarms_there, auto_alarm_names
from control.aws.endpoint.work import Work
from control.aws.scaling.applying import undo_scaling
from control.aws.scaling.variants import scaled_variants
from control.aws_client import AwsError
from control.terminal import say


def unwanted_scaling(work: Work, current: Described) -> dict[str, str]:
    """Variant -> kind, of what is scaled and is not so in the file. Raises AwsError."""
    spec = work.spec
    wanted = {one.name for one in spec.variants} if spec.scaling else set()
    try:
        found = scaled_variants(work.account, spec.name)
    except AwsError as error:  # who wants no scaling may not have the right to ask
        if error.code not in DENIED or spec.scaling:
            raise
        return {}
    # What is registered does not tell it from an asynchronous one.
    may_sleep = "asynchronous" in (spec.kind, kind_of(current))
    known = {} if may_sleep else {"asynchronous": "real-time"}
    return {name: known.get(kind, kind) for name, kind in found.items() if name not in wanted}


def drop_scaling(work: Work, unwanted: Mapping[str, str]) -> None:
    """Take scaling off these variants; the instances stay as many as they are."""
    for variant, kind in unwanted.items():
        undo_scaling(work.account, work.spec.name, variant, kind)
        say(f"scaling: taken off variant {variant}, as the file has none", to=work.echo)


def settle_alarms(work: Work, described: Iterable[Mapping[str, Any]]) -> bool:
    """The alarms of `alarms = "auto"` are there as the file has them; whether they were not.

    `described`: AWS's answers about the endpoint, whose variants may have had some.
    """
    plan, account = work.plan, work.account
    variants = {one.name: None for one in work.spec.variants}
    for answer in described:
        variants |= {one["VariantName"]: None for one in answer.get("ProductionVariants", ())}
    wanted = {str(call.parameters["AlarmName"]): call for call in plan.alarms}
    try:
        found = alarms_there(account, auto_alarm_names(work.spec.name, variants))
    except AwsError as error:  # as above
        if error.code not in DENIED or wanted:
            raise
        return False
    unwanted = [name for name in found if name not in wanted]
    for name in unwanted:
        account.find(alarm_removal(name), f"alarm {name}")
        say(f"alarm:   {name} is removed, as the file has none", to=work.echo)
    missing = [name for name in wanted if name not in found]
    for name in missing:
        account.send(wanted[name], f"alarm {name}")
    return bool(unwanted or missing)

"""Machines outside of SageMaker: instances of EC2, and Lambda's functions that are kept ready."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from control.aws.account import Account
from control.aws.call import Call
from control.aws.house.asking import found_by_each
from control.aws.house.found import Found, expiry, moment, owner, utc
from control.aws.prices import price_per_hour
from control.aws.rates import lambda_provisioned_per_hour
from control.aws.tags import NAME, tags_of
from control.aws_client import AwsError

ALIVE = ("pending", "running", "stopping", "stopped")  # those that are gone are seen for an hour


class _Ready(NamedTuple):
    """What of a function is kept ready."""

    said: str
    per_hour: float | None
    aliases: tuple[str, ...]


def instances(account: Account) -> list[Found]:
    """Instances that are tagged as ours. A stopped one keeps its disk, and that costs."""
    filters = [
        {"Name": "tag-key", "Values": [NAME]},
        {"Name": "instance-state-name", "Values": list(ALIVE)},
    ]
    call = Call(service="ec2", operation="DescribeInstances", parameters={"Filters": filters})
    found = []
    for reservation in account.pages(call, "Reservations"):
        for item in reservation["Instances"]:
            tags, state = tags_of(item.get("Tags", [])), str(item["State"]["Name"])
            kind = str(item["InstanceType"])
            spot = ", spot: billed at less" if item.get("InstanceLifecycle") == "spot" else ""
            is_running = state in ("pending", "running")
            found.append(
                Found(
                    kind="instance",
                    id=str(item["InstanceId"]),
                    name=owner(tags),
                    what=f"{kind}{spot}" if is_running else f"{kind}, its disk alone",
                    state=state,
                    since=moment(item, "LaunchTime"),
                    expires=expiry(tags),
                    per_hour=price_per_hour(kind, "ec2") if is_running else 0.0,
                    ends_itself=is_running,  # its script shuts it down, which terminates it
                )
            )
    return found


def functions(account: Account) -> list[Found]:
    """Functions that are tagged as ours: billed by the request, and for what is kept ready."""

    def look(item: Mapping[str, Any]) -> Found | None:
        name = str(item["FunctionName"])
        said = account.find(_lambda("ListTags", Resource=item["FunctionArn"])) or {}
        tags = tags_of(said.get("Tags", {}))
        if not owner(tags):
            return None
        memory_mb = int(item.get("MemorySize", 128))
        ready = _ready(account, name, memory_mb)
        return Found(
            kind="function",
            id=name,
            name=owner(tags),
            what=f"{memory_mb} MB{ready.said}",
            state=str(item.get("State") or ""),
            since=_changed(item),
            expires=expiry(tags),
            per_hour=ready.per_hour,
            about={
                "function": name,
                "kept": ready.aliases,
                "has_url": _has_url(account, name),
            },
        )

    return found_by_each(look, account.pages(_lambda("ListFunctions"), "Functions"))


def _ready(account: Account, name: str, memory_mb: int) -> _Ready:
    """A refusal hides the figure, not the function."""
    call = _lambda("ListProvisionedConcurrencyConfigs", FunctionName=name)
    try:
        kept = list(account.pages(call, "ProvisionedConcurrencyConfigs"))
    except AwsError as error:
        why = error.code or "no answer"
        return _Ready(f", cannot tell what is kept ready ({why})", None, ())
    count = sum(one["RequestedProvisionedConcurrentExecutions"] for one in kept)
    return _Ready(
        f", {count} kept ready" if count else "",
        lambda_provisioned_per_hour(memory_mb, count),
        # arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER
        tuple(str(one["FunctionArn"]).rpartition(":")[2] for one in kept),
    )


def _has_url(account: Account, name: str) -> bool:
    """False also where nobody may look: an address goes with its function."""
    try:
        return account.find(_lambda("GetFunctionUrlConfig", FunctionName=name)) is not None
    except AwsError:
        return False


def _lambda(operation: str, **parameters: Any) -> Call:
    return Call(service="lambda", operation=operation, parameters=parameters)


def _changed(item: Mapping[str, Any]) -> datetime | None:
    """2026-11-28T05:15:00.000+0000, as Lambda alone writes it."""
    try:
        return utc(datetime.fromisoformat(str(item["LastModified"])))
    except (KeyError, ValueError):
        return None

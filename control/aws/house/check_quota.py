"""Checks of quotas: how many machines of a type may run now, and how to ask for more."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

from control.aws import prices
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.host_image import has_gpu
from control.aws.house.check import Check, fine, looked, note, wrong
from control.aws.house.check_processors import SUGGESTED, ask_for, processor_check
from control.aws.house.wanted import Use, Wanted

SUFFIXES: dict[Use, str] = {
    "training": " for training job usage",
    "spot training": " for spot training job usage",
    "endpoint": " for endpoint usage",
    "transform": " for transform job usage",
}


class Quota(NamedTuple):
    """What Service Quotas says of one."""

    value: float
    code: str


def quota_checks(account: Account, wanted: Wanted) -> list[Check]:
    """Whether each type is allowed as often as the file wants it. What runs now is not counted."""
    found: list[Check] = []
    in_sagemaker = {key: count for key, count in wanted.machines.items() if key[1] in SUFFIXES}
    if in_sagemaker:
        found += looked("quota", partial(_sagemaker, account, in_sagemaker))
    for (kind, use), count in wanted.machines.items():
        if use not in SUFFIXES:
            is_spot = use == "spot ec2"
            look = partial(processor_check, account, kind, count, is_spot=is_spot)
            found += looked("quota", look)
    return found


def _sagemaker(account: Account, machines: Mapping[tuple[str, Use], int]) -> Iterable[Check]:
    quotas = _listed(account, "ListServiceQuotas")
    names = {f"{kind}{SUFFIXES[use]}" for kind, use in machines}
    if not names <= quotas.keys():  # those that were never changed may be among the defaults alone
        quotas = {**_listed(account, "ListAWSDefaultServiceQuotas"), **quotas}
    for (kind, use), count in machines.items():
        name = f"{kind}{SUFFIXES[use]}"
        quota = quotas.get(name)
        if quota is None:
            yield note("quota", f"{name}: Service Quotas does not know it: check the type's name")
        elif quota.value >= count:
            yield fine("quota", f"{name}: {quota.value:g}, {count} wanted")
        else:
            yield wrong(
                "quota",
                f"{name}: {quota.value:g}, {count} wanted; {_instead(quotas, kind, use, count)}",
                ask_for(account, "sagemaker", quota.code, count),
            )


def _listed(account: Account, operation: str) -> dict[str, Quota]:
    call = Call(
        service="service-quotas", operation=operation, parameters={"ServiceCode": "sagemaker"}
    )
    return {
        str(one["QuotaName"]): Quota(float(one["Value"]), str(one["QuotaCode"]))
        for one in account.pages(call, "Quotas", "quotas")
        if "Value" in one
    }


def _instead(quotas: Mapping[str, Quota], kind: str, use: Use, count: int) -> str:
    """Types of the same sort that are allowed, or else any of the other."""
    if same := _allowed(quotas, kind, use, count):
        return f"allowed now: {same}"
    is_gpu = has_gpu(kind)
    lacking = f"no other type {'with' if is_gpu else 'without'} a GPU is allowed now"
    other = _allowed(quotas, kind, use, count, other_sort=True)
    return f"{lacking}; {'without' if is_gpu else 'with'}: {other}" if other else lacking


def _allowed(
    quotas: Mapping[str, Quota], kind: str, use: Use, count: int, *, other_sort: bool = False
) -> str:
    """Types of the same sort, with a GPU or without, cheapest first."""
    uses: dict[str, prices.Use] = {"endpoint": "hosting", "transform": "transform"}
    billed = uses.get(use, "training")
    found = []
    for other in prices.known_types(billed):
        quota = quotas.get(f"{other}{SUFFIXES[use]}")
        is_sort = (has_gpu(other) == has_gpu(kind)) is not other_sort
        if quota is not None and quota.value >= count and is_sort:
            price = prices.price_per_hour(other, billed)
            found.append(f"{other} ({quota.value:g}, ${price:g} an hour)")
    return ", ".join(found[:SUGGESTED])

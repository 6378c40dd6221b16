"""Checks of EC2's quotas: processors at a time, by the sort of machine, on demand and as spot."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from control.aws import prices
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.host_image import has_gpu
from control.aws.house.check import Check, fine, wrong

SUGGESTED = 5  # types that are allowed now
# By the letter that a type begins with. Source: EC2 user guide, instance type quotas; each is for
# on demand, then for spot.
QUOTAS = {"g": ("L-DB2E81BA", "L-3819A6DF"), "p": ("L-417A185B", "L-7212CCBC")}
STANDARD = ("L-1216C47A", "L-34B43A08")


def processor_check(account: Account, kind: str, count: int, *, is_spot: bool) -> Check:
    """Whether so many of a type may run. What runs now is not counted. Raises AwsError."""
    wanted = count * _processors(account, InstanceTypes=[kind])[kind]
    code = _code(kind, is_spot)
    quota = _quota(account, code)
    said = f"{quota['QuotaName']}: {quota['Value']:g} processors, {wanted} wanted for {kind}"
    if quota["Value"] >= wanted:
        return fine("quota", said)
    instead = _instead(account, kind, count, is_spot=is_spot)
    remedy = ask_for(account, "ec2", code, wanted)
    return wrong("quota", f"{said}; {instead}", remedy)


def ask_for(account: Account, service: str, code: str, wanted: float) -> str:
    """The command that asks AWS for a larger quota."""
    return (
        "aws service-quotas request-service-quota-increase "
        f"--service-code {service} --quota-code {code} --desired-value {math.ceil(wanted)} "
        f"--region {account.region}"
    )


def _instead(account: Account, kind: str, count: int, *, is_spot: bool) -> str:
    """What is allowed now, nearest in price first.

    Types of the same sort, with a GPU or without; else those in the other market; else the others.
    """
    price = prices.price_per_hour(kind, "ec2") or 0.0
    known = sorted(
        prices.known_types("ec2"),
        key=lambda one: abs((prices.price_per_hour(one, "ec2") or 0.0) - price),
    )
    found = _processors(account, Filters=[{"Name": "instance-type", "Values": known}])
    allowed_of = cache(lambda code: float(_quota(account, code)["Value"]))

    def allowed(*, with_gpu: bool, as_spot: bool) -> str:
        able = [
            one
            for one in known
            if one in found
            and has_gpu(one) == with_gpu
            and count * found[one] <= allowed_of(_code(one, as_spot))
        ]
        return _listed(able, found, as_spot)

    is_gpu = has_gpu(kind)
    if same := allowed(with_gpu=is_gpu, as_spot=is_spot):
        return f"allowed now: {same}"
    other = "on demand, spot = false" if is_spot else "as spot, spot = true"
    if same := allowed(with_gpu=is_gpu, as_spot=not is_spot):
        return f"allowed now {other}: {same}"
    lacking = f"no type {'with' if is_gpu else 'without'} a GPU is allowed now, nor {other}"
    if rest := allowed(with_gpu=not is_gpu, as_spot=is_spot):
        return f"{lacking}; {'without' if is_gpu else 'with'}: {rest}"
    return lacking


def _listed(able: Sequence[str], found: Mapping[str, int], as_spot: bool) -> str:
    """The nearest in price, as they come; spot has no list price."""

    def line(kind: str) -> str:
        price = "" if as_spot else f", ${prices.price_per_hour(kind, 'ec2'):g} an hour"
        return f"{kind} ({found[kind]} processors{price})"

    return ", ".join(map(line, able[:SUGGESTED]))


def _processors(account: Account, **asked: Any) -> dict[str, int]:
    """Type -> how many, of those that AWS has in this region."""
    call = Call(service="ec2", operation="DescribeInstanceTypes", parameters=asked)
    return {
        str(one["InstanceType"]): int(one["VCpuInfo"]["DefaultVCpus"])
        for one in account.pages(call, "InstanceTypes", "instance types of EC2")
    }


def _code(kind: str, is_spot: bool) -> str:
    return QUOTAS.get(kind[:1], STANDARD)[is_spot]


def _quota(account: Account, code: str) -> Mapping[str, Any]:
    """What was never changed for an account may have AWS's default alone."""
    parameters, doing = {"ServiceCode": "ec2", "QuotaCode": code}, "quotas of EC2"
    own, usual = (
        Call(service="service-quotas", operation=operation, parameters=parameters)
        for operation in ("GetServiceQuota", "GetAWSDefaultServiceQuota")
    )
    quota: Mapping[str, Any] = (account.find(own, doing) or account.send(usual, doing))["Quota"]
    return quota

"""Conditions: what narrows a statement besides names."""

from collections.abc import Callable, Iterable, Sequence

from control.aws.access.grant import Condition
from control.aws.access.scope import Scope, prefixes
from control.aws.tags import KIND
from control.s3 import S3Uri

EVERYTHING = ("*",)


def everything(_: Scope) -> Sequence[str]:
    """Where AWS knows no resource for an action."""
    return EVERYTHING


def here(scope: Scope) -> Condition:
    """In this region alone."""
    return {"StringEquals": {"aws:RequestedRegion": scope.region}}


def in_iam(scope: Scope) -> Condition:
    """IAM answers in one region of each partition."""
    return {"StringEquals": {"aws:RequestedRegion": scope.global_region}}


def passed_to(service: str) -> Callable[[Scope], Condition]:
    """The role may be given to this service alone."""
    return lambda _: {"StringEquals": {"iam:PassedToService": service}}


def for_service(name: str) -> Callable[[Scope], Condition]:
    """Of CreateServiceLinkedRole."""
    return lambda _: {"StringEquals": {"iam:AWSServiceName": name}}


def listing(places: Callable[[Scope], Iterable[S3Uri]]) -> Callable[[Scope], Condition]:
    """Of ListBucket: these folders and no others. An empty one leaves all keys to be listed."""

    def condition(scope: Scope) -> Condition:
        found = prefixes(places(scope))
        return {} if found == ["*"] else {"StringLike": {"s3:prefix": found}}

    return condition


def of_kind(kind: str, *, is_new: bool = False) -> Callable[[Scope], Condition]:
    """Things with our tag: those that are there, or that are made with it."""
    key = f"aws:{'RequestTag' if is_new else 'ResourceTag'}/{KIND}"
    return lambda _: {"StringEquals": {key: kind}}


def as_made_by(operation: str) -> Callable[[Scope], Condition]:
    """Tags while a thing is made, and not on others."""
    return lambda _: {"StringEquals": {"ec2:CreateAction": operation}}


def namespaces(*names: str) -> Callable[[Scope], Condition]:
    """Of PutMetricData, which knows no resource."""
    return lambda _: {"StringEquals": {"cloudwatch:namespace": list(names)}}


def through(*services: str) -> Callable[[Scope], Condition]:
    """A key, by way of these services."""
    return lambda scope: {
        "StringEquals": {
            "kms:ViaService": [f"{service}.{scope.region}.amazonaws.com" for service in services]
        }
    }

"""Reading: from job, tuning and deployment files to the names and places of a policy."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contract.errors import UsageError
from control.aws.access.facts import Facts, facts_of, unique
from control.aws.access.scope import ALL, SERVE_IMAGES, TRAIN_IMAGES, Places, Scope
from control.aws.account import Account
from control.s3 import S3Uri

_REGISTRY = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")  # us-gov-west-1, eusc-de-east-1
_ROLE = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """What the command line says besides the files."""

    prefix: str = ""  # of all names
    places: tuple[S3Uri, ...] = ()  # in S3, on top of the files'
    functions: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()  # whose pictures functions may read
    account: str = ""  # twelve digits; "" asks the files, then AWS
    region: str = ""


def scope_of(
    account: Account, files: Sequence[Path], how: Narrowing
) -> tuple[Scope, frozenset[str]]:
    """The scope, and the commands that the files call for; none for all.

    Asks AWS for the account and region only where neither the flags nor the files name them.
    Raises SpecError and its like for a file; UsageError, AwsError.
    """
    facts = [facts_of(path) for path in files]
    number, region = _where(account, facts, how)
    base = Scope(
        partition=_partition(region),
        region=region,
        account=number,
        functions=how.functions or _names_without_files(how),
        buckets=how.buckets,
    )
    if not facts:
        places = how.places or (S3Uri(f"kennel-{number}", ""),)
        return without_files(base, places, _names_without_files(how)), frozenset()
    return _merged(base, facts, how), frozenset().union(*(one.commands for one in facts))


def without_files(base: Scope, places: tuple[S3Uri, ...], names: tuple[str, ...] = ALL) -> Scope:
    """Everything, in so far as its names begin so, and these places in S3."""
    scope = replace(
        base,
        training=names,
        tuning=names,
        endpoints=names,
        parts=names,
        transforms=names,
        trained=Places(write=places),
        served=Places(write=places),
        pushed=places,
        has_stops=True,
    )
    return _with_images(scope, TRAIN_IMAGES, SERVE_IMAGES)


def _merged(base: Scope, facts: Sequence[Facts], how: Narrowing) -> Scope:
    def every(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(x for one in facts for x in one.names.get(name, ())))

    trained, served = Places(), Places()
    for one in facts:
        trained, served = trained | one.trained, served | one.served
    endpoints = every("endpoints")
    functions = how.functions or endpoints
    scope = replace(
        base,
        training=every("training"),
        tuning=every("tuning"),
        endpoints=endpoints,
        parts=every("parts"),
        transforms=every("transforms"),
        functions=functions,
        trained=trained,
        served=served,
        pushed=unique((*(x for one in facts for x in one.pushed), *how.places)),
        keys=unique(x for one in facts for x in one.keys),
        topics=unique(x for one in facts for x in one.topics),
        roles=unique(x for one in facts for x in one.roles),
        is_in_vpc=any(one.is_in_vpc for one in facts),
        has_stops=any(one.has_stops for one in facts),
        ami_parameters=unique(x for one in facts for x in one.ami_parameters),
        key_names=unique(x for one in facts for x in one.key_names),
    )
    return _with_images(
        scope,
        unique(x for one in facts for x in one.train_images),
        unique(x for one in facts for x in one.serve_images),
    )


def _where(account: Account, facts: Sequence[Facts], how: Narrowing) -> tuple[str, str]:
    """(account, region) from the flags, from complete names in the files, or from AWS."""
    images = [x for one in facts for x in (*one.train_images, *one.serve_images)]
    registries = [found for x in images if (found := _REGISTRY.match(x))]
    owners = {found[1] for found in registries}
    owners |= {found[1] for one in facts for _, x in one.roles if (found := _ROLE.match(x))}
    if how.account and not re.fullmatch(r"\d{12}", how.account):
        raise UsageError(f"--account: expected twelve digits, got {how.account!r}")
    if len(owners) > 1 and not how.account:
        names = " and ".join(sorted(owners))
        raise UsageError(f"the files name roles and images of the accounts {names}: add --account")
    region = _region(account, [found[2] for found in registries], how)
    return how.account or next(iter(owners), "") or account.id, region


def _region(account: Account, named: Sequence[str], how: Narrowing) -> str:
    """Before any name is made of it. `named`: by the images of the files."""
    region = how.region or next(iter(named), "") or account.region
    if not _REGION.fullmatch(region):
        whose = "--region" if how.region else "region"
        raise UsageError(f"{whose}: expected a region of AWS's such as us-east-1, got {region!r}")
    return region


def _with_images(scope: Scope, train: Sequence[str], serve: Sequence[str]) -> Scope:
    def repository(image: str) -> str:
        if found := _REGISTRY.match(image):
            return f"arn:{scope.partition}:ecr:{found[2]}:{found[1]}:repository/{found[3]}"
        name = re.split("[:@]", image)[0]
        return "" if "/" in image else scope.arn("ecr", f"repository/{name}")

    return replace(
        scope,
        train_images=unique(filter(None, map(repository, train))),
        serve_images=unique(filter(None, map(repository, serve))),
    )


def _names_without_files(how: Narrowing) -> tuple[str, ...]:
    return (f"{how.prefix}*",)


def _partition(region: str) -> str:
    known = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((name for start, name in known.items() if region.startswith(start)), "aws")

"""Inventory: everything of ours in one account and region, by listing each service.

Tags are read from the things themselves: AWS's index of tags lags behind, and knows neither
schedules nor what Application Auto Scaling holds.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

from control.aws.account import Account
from control.aws.house.attached import alarms, log_groups, scaling, schedules
from control.aws.house.found import Found
from control.aws.house.hosting import configs, endpoints, models
from control.aws.house.jobs import training_jobs, transform_jobs, tuning_jobs
from control.aws.house.machines import functions, instances
from control.aws.house.roles import roles
from control.aws_client import AwsError

AT_ONCE = 6
HANGING = ("scaling policy", "scaling target", "log group")


class Lister(NamedTuple):
    """What it lists, for a person who reads that it could not be."""

    what: str
    list: Callable[[Account], list[Found]]


LISTERS = (
    Lister("endpoints", endpoints),
    Lister("training jobs", training_jobs),
    Lister("tuning jobs", tuning_jobs),
    Lister("transform jobs", transform_jobs),
    Lister("EC2 instances", instances),
    Lister("Lambda functions", functions),
    Lister("scaling", scaling),
    Lister("alarms", alarms),
    Lister("schedules", schedules),
    Lister("log groups", log_groups),
    Lister("endpoint configs", configs),
    Lister("models", models),
)
ROLES = Lister("roles", roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What could not be listed, and why: what is there may cost money all the same."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What was found. `untagged` looks like ours and is never touched."""

    ours: Sequence[Found]
    untagged: Sequence[Found] = ()
    gaps: Sequence[Gap] = ()

    @property
    def names(self) -> list[str]:
        """Of jobs, deployments and functions, each once."""
        return sorted({one.name for one in self.ours})

    def of(self, name: str) -> "Inventory":
        """What belongs to this name alone."""
        return replace(self, ours=[one for one in self.ours if one.name == name], untagged=())


def inventory(account: Account, *, with_roles: bool = False) -> Inventory:
    """Ask every service; one that refuses becomes a gap.

    Raises UsageError: no credentials or no region; AwsError: AWS cannot be reached.
    """
    account.id  # noqa: B018 - one question tells whether AWS can be asked at all
    found: list[Found] = []
    gaps: list[Gap] = []
    listers = (*LISTERS, ROLES) if with_roles else LISTERS

    def look(lister: Lister) -> list[Found] | Gap:
        try:
            return lister.list(account)
        except AwsError as error:
            return Gap(what=lister.what, why=str(error))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for answer in pool.map(look, listers):
            if isinstance(answer, Gap):
                gaps.append(answer)
            else:
                found += answer
    known = attributed(found)
    return Inventory(
        ours=[one for one in known if one.name],
        untagged=[one for one in known if not one.name],
        gaps=gaps,
    )


def attributed(found: Iterable[Found]) -> list[Found]:
    """What hangs on an endpoint or a function of ours gets its name; strangers' things go.

    An endpoint of ours that is gone leaves scaling and a log group: they are ours while a model or
    a configuration of its name is there and no stranger has an endpoint of that name.
    """
    every = list(found)
    ours: dict[tuple[str, str], str] = {
        (one.kind, one.id): one.name
        for one in every
        if one.kind in ("endpoint", "function") and one.name
    }
    half_gone = {one.name for one in every if one.kind in ("endpoint config", "model") and one.name}
    half_gone -= {one.id for one in every if one.kind == "endpoint" and not one.name}
    known = []
    for one in every:
        name = one.name
        if one.kind in HANGING and not name:
            kind = "endpoint" if "endpoint" in one.about else "function"
            whose = str(one.about.get(kind, ""))
            is_half_gone = kind == "endpoint" and whose in half_gone
            name = ours.get((kind, whose), whose if is_half_gone else "")
            if not name:
                continue
        if not one.about.get("is_strange"):
            known.append(replace(one, name=name))
    return known

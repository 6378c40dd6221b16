"""TuningPlan: the call that makes a tuning job, and what it may cost. Pure."""

from dataclasses import dataclass

from contract.errors import SpecError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.machines import check_training
from control.aws.money import Cost
from control.aws.names import complete, stamped
from control.aws.prices import price_per_hour
from control.aws_place import AwsPlace
from control.tuning_file import Tuning
from control.tuning_request import request_for_tuning_job

LONGEST_NAME = 32  # Source: SageMaker API reference, HyperParameterTuningJobName


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPlan:
    """What is sent for one study, and what it may cost."""

    name: str  # of the tuning job
    calls: tuple[Call, ...]
    costs: tuple[Cost, ...]
    place: AwsPlace


def plan_tuning(tuning: Tuning, account: Account, at: float | None = None) -> TuningPlan:
    """Asks AWS for nothing but what short names of role and image stand for.

    Args:
        at: seconds since 1970, for the tuning job's name; now.

    Raises SpecError: no [aws], or what AWS would refuse; ChannelError, UsageError, AwsError.
    """
    if tuning.aws is None:
        raise SpecError("--on aws needs a table [aws] in the tuning description or in its job")
    check_training(tuning.aws)
    place = complete(tuning.aws, account)
    name = stamped(tuning.spec.name, longest=LONGEST_NAME, at=at)
    return TuningPlan(
        name=name,
        calls=(request_for_tuning_job(tuning, place, name),),
        costs=(cost_of(tuning, place),),
        place=place,
    )


def cost_of(tuning: Tuning, place: AwsPlace) -> Cost:
    """At worst: every trial runs to its limit, as many at once as may."""
    spec = tuning.spec
    at_once = min(spec.max_parallel_jobs, spec.num_jobs)
    price = price_per_hour(place.instance_type, "training")
    hours = spec.num_jobs / at_once * tuning.trial_seconds / 3600
    if spec.max_runtime_seconds is not None:
        hours = min(hours, spec.max_runtime_seconds / 3600)
    machines = at_once * place.instance_count
    several = f" of {place.instance_count}" if place.instance_count > 1 else ""
    return Cost(
        what=f"{machines} x {place.instance_type}, {spec.num_jobs} trials{several} of {spec.name}",
        per_hour=None if price is None else machines * price,
        hours=hours,
        note="spot: usually a third of it" if place.spot else "",
    )

"""Removal: the calls that take a thing away, and the order in which things may go. Pure functions.

Scaling goes before its endpoint and the endpoint before what it stands on. The schedule that would
delete the endpoint goes after it: if the rest fails, the endpoint still has its end. Configurations
and models go last: they are what tells a half removed endpoint's leavings from a stranger's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from control.aws.call import Call
from control.aws.house.asking import sagemaker
from control.aws.house.found import Found, Kind
from control.aws.house.roles import iam

ORDER: tuple[Kind, ...] = (
    *("scaling policy", "scaling target", "tuning job", "training job", "transform job"),
    *("instance", "function", "endpoint", "alarm", "schedule", "log group"),
    *("endpoint config", "model", "role"),
)
NEEDS_ENDPOINT_GONE = frozenset({"schedule", "log group", "endpoint config", "model"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One thing and the calls that remove it, in order. Each may find that it is gone already."""

    thing: Found
    calls: Sequence[Call]

    @property
    def verb(self) -> str:
        """What happens to it."""
        kind = self.thing.kind
        return "terminate" if kind == "instance" else "stop" if kind in STOPPED else "delete"


STOPPED = frozenset({"training job", "tuning job", "transform job"})  # their records stay in AWS


def removals(things: Sequence[Found]) -> list[Removal]:
    """How all of these go, in an order that works."""
    ordered = sorted(things, key=lambda one: (ORDER.index(one.kind), one.name, one.id))
    return [Removal(thing=one, calls=CALLS[one.kind](one)) for one in ordered]


def _sagemaker(operation: str, parameter: str) -> Callable[[Found], list[Call]]:
    return lambda one: [sagemaker(operation, **{parameter: one.id})]


def _scaling_policy(one: Found) -> list[Call]:
    return [_scaling("DeleteScalingPolicy", {"PolicyName": one.id, **one.about["target"]})]


def _scaling_target(one: Found) -> list[Call]:
    return [_scaling("DeregisterScalableTarget", one.about["target"])]


def _scaling(operation: str, parameters: dict[str, object]) -> Call:
    return Call(service="application-autoscaling", operation=operation, parameters=parameters)


def _instance(one: Found) -> list[Call]:
    parameters = {"InstanceIds": [one.id]}
    return [Call(service="ec2", operation="TerminateInstances", parameters=parameters)]


def _function(one: Found) -> list[Call]:
    """What costs first; aliases and versions go with the function."""
    name = {"FunctionName": one.id}
    calls = [
        ("DeleteProvisionedConcurrencyConfig", {**name, "Qualifier": qualifier})
        for qualifier in one.about.get("kept", ())
    ]
    calls += [("DeleteFunctionUrlConfig", name)] if one.about.get("has_url") else []
    calls.append(("DeleteFunction", name))
    return [Call(service="lambda", operation=verb, parameters=what) for verb, what in calls]


def _alarm(one: Found) -> list[Call]:
    parameters = {"AlarmNames": [one.id]}
    return [Call(service="cloudwatch", operation="DeleteAlarms", parameters=parameters)]


def _schedule(one: Found) -> list[Call]:
    parameters = {"Name": one.id, "GroupName": one.about["group"]}
    return [Call(service="scheduler", operation="DeleteSchedule", parameters=parameters)]


def _log_group(one: Found) -> list[Call]:
    parameters = {"logGroupName": one.id}
    return [Call(service="logs", operation="DeleteLogGroup", parameters=parameters)]


def _role(one: Found) -> list[Call]:
    """A role goes when nothing is on it. Managed policies stay: others may use them."""
    name = one.id
    return [
        *(iam("DetachRolePolicy", RoleName=name, PolicyArn=arn) for arn in one.about["attached"]),
        *(iam("DeleteRolePolicy", RoleName=name, PolicyName=each) for each in one.about["inline"]),
        *(
            call
            for profile in one.about["profiles"]
            for call in (
                iam("RemoveRoleFromInstanceProfile", RoleName=name, InstanceProfileName=profile),
                *(
                    [iam("DeleteInstanceProfile", InstanceProfileName=profile)]
                    if profile == name
                    else []
                ),
            )
        ),
        iam("DeleteRole", RoleName=name),
    ]


CALLS: dict[Kind, Callable[[Found], list[Call]]] = {
    "scaling policy": _scaling_policy,
    "scaling target": _scaling_target,
    "tuning job": _sagemaker("StopHyperParameterTuningJob", "HyperParameterTuningJobName"),
    "training job": _sagemaker("StopTrainingJob", "TrainingJobName"),
    "transform job": _sagemaker("StopTransformJob", "TransformJobName"),
    "instance": _instance,
    "function": _function,
    "endpoint": _sagemaker("DeleteEndpoint", "EndpointName"),
    "alarm": _alarm,
    "schedule": _schedule,
    "log group": _log_group,
    "endpoint config": _sagemaker("DeleteEndpointConfig", "EndpointConfigName"),
    "model": _sagemaker("DeleteModel", "ModelName"),
    "role": _role,
}

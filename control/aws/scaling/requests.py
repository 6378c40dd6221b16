"""Requests that scale a variant of an endpoint, and those that stop scaling it. Pure functions.

Source: Application Auto Scaling API reference; SageMaker developer guide, Autoscale an
asynchronous endpoint.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from control.aws.call import Call, Request
from control.aws.names import alarm_of
from control.aws.scaling.policy import Metric, ScalingSpec
from control.aws.tags import Tags

SERVICE = "application-autoscaling"
NAMESPACE = "sagemaker"
INSTANCES = "sagemaker:variant:DesiredInstanceCount"
CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"
TRACKING, WAKING = "kennel-tracking", "kennel-waking"  # policies; their names are the variant's own
PREDEFINED: Mapping[Metric, str] = {
    "invocations_per_instance": "SageMakerVariantInvocationsPerInstance",
    "concurrent_requests_per_model": "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    "provisioned_utilization": "SageMakerVariantProvisionedConcurrencyUtilization",
}
# In the alarm's request where AWS's answer to PutScalingPolicy has to stand: it holds a number
# that AWS makes up. `control.aws.scaling.applying` puts it there.
ANSWERED_ARN = "(PolicyARN that PutScalingPolicy kennel-waking answers)"
# Longer than an instance takes to start: the same backlog must not start a second one.
WAKING_COOLDOWN_SECONDS = 600
KIND = "scaling"  # in the tag


def scaling_calls(
    endpoint: str,
    variant: str,
    kind: str,
    spec: ScalingSpec,
    more: Mapping[str, str] | None = None,
) -> list[Call]:
    """RegisterScalableTarget and PutScalingPolicy; from zero, also what wakes the endpoint.

    Sent again, they change what is there. Send them by `apply_scaling` (applying.py):
    the alarm needs an ARN from the answer before.

    Args:
        kind: real-time, multi-model, asynchronous or serverless.
        more: tags, besides ours.

    Raises SpecError: an endpoint of this kind cannot be scaled so.
    """
    spec.check_kind(kind)
    target = target_of(endpoint, variant, kind)
    tags = Tags(name=endpoint, kind=KIND, more=more)
    bounds = {"MinCapacity": spec.minimum, "MaxCapacity": spec.maximum}
    calls = [
        _call("RegisterScalableTarget", {**target, **bounds, "Tags": tags.as_dict()}),
        _call("PutScalingPolicy", {**target, **_tracking(endpoint, spec)}),
    ]
    if spec.minimum == 0:
        waking = _call("PutScalingPolicy", {**target, **_waking()})
        return [*calls, waking, _alarm(endpoint, variant, tags)]
    # What an earlier min = 0 may have left would go on to add instances.
    return [*calls, *_sleepless(endpoint, variant)] if kind == "asynchronous" else calls


def has_tags(call: Call) -> bool:
    """Whether it registers a variant with tags, which AWS takes the first time alone."""
    return call.operation == "RegisterScalableTarget" and "Tags" in call.parameters


def without_tags(call: Call) -> Call:
    """For a variant that is registered already, and keeps its tags."""
    left = {key: value for key, value in call.parameters.items() if key != "Tags"}
    return replace(call, parameters=left)


def undo_calls(endpoint: str, variant: str, kind: str) -> list[Call]:
    """What takes `scaling_calls` back, also when they are done in part or done already.

    Each of them may find nothing to delete: send them by `applying.undo_scaling`.
    """
    target = target_of(endpoint, variant, kind)
    calls = [_call("DeleteScalingPolicy", {"PolicyName": TRACKING, **target})]
    if kind == "asynchronous":
        calls += _sleepless(endpoint, variant)
    return [*calls, _call("DeregisterScalableTarget", target)]


def describing_calls(endpoint: str, variant: str, kind: str) -> list[Call]:
    """Target, policies and recent activities of one variant, in this order."""
    target = target_of(endpoint, variant, kind)
    return [
        registered_call(target["ResourceId"], target["ScalableDimension"]),
        _call("DescribeScalingPolicies", target),
        _call("DescribeScalingActivities", {**target, "MaxResults": 10}),
    ]


def _sleepless(endpoint: str, variant: str) -> list[Call]:
    """What deletes the policy and the alarm that wake from zero."""
    target = target_of(endpoint, variant, "asynchronous")
    alarms = {"AlarmNames": [alarm_name(endpoint, variant)]}
    return [
        _call("DeleteScalingPolicy", {"PolicyName": WAKING, **target}),
        Call(service="cloudwatch", operation="DeleteAlarms", parameters=alarms),
    ]


def registered_call(resource: str, dimension: str) -> Call:
    """Asks whether one variant is registered."""
    one = {
        "ServiceNamespace": NAMESPACE,
        "ResourceIds": [resource],
        "ScalableDimension": dimension,
    }
    return _call("DescribeScalableTargets", one)


def policy_call(asked: Mapping[str, Any]) -> Call:
    """Asks for the policy that the parameters of a PutScalingPolicy make."""
    keys = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    target = {key: asked[key] for key in keys}
    return _call("DescribeScalingPolicies", {**target, "PolicyNames": [asked["PolicyName"]]})


def target_of(endpoint: str, variant: str, kind: str) -> Request:
    """How Application Auto Scaling names the variant."""
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": f"endpoint/{endpoint}/variant/{variant}",
        "ScalableDimension": CONCURRENCY if kind == "serverless" else INSTANCES,
    }


def alarm_name(endpoint: str, variant: str) -> str:
    """Of the alarm that wakes the variant from zero instances."""
    return alarm_of(endpoint, variant, "waking")


def _tracking(endpoint: str, spec: ScalingSpec) -> Request:
    if spec.metric in PREDEFINED:
        metric: Request = {
            "PredefinedMetricSpecification": {"PredefinedMetricType": PREDEFINED[spec.metric]}
        }
    else:
        metric = {
            "CustomizedMetricSpecification": {
                **_metric(endpoint, "ApproximateBacklogSizePerInstance"),
                "Statistic": "Average",
            }
        }
    return {
        "PolicyName": TRACKING,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": float(spec.target),
            **metric,
            "ScaleOutCooldown": spec.scale_out_cooldown_seconds,
            "ScaleInCooldown": spec.scale_in_cooldown_seconds,
        },
    }


def _waking() -> Request:
    """One instance more when something waits and none is there; tracking goes on from one."""
    return {
        "PolicyName": WAKING,
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": WAKING_COOLDOWN_SECONDS,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        },
    }


def _alarm(endpoint: str, variant: str, tags: Tags) -> Call:
    # AWS's example waits for two minutes of backlog. The metric is 0 or 1 and has no noise: one
    # minute tells as much, and the caller waits a minute less.
    return Call(
        service="cloudwatch",
        operation="PutMetricAlarm",
        parameters={
            "AlarmName": alarm_name(endpoint, variant),
            "AlarmDescription": f"endpoint {endpoint}: a request waits and no instance is there",
            "ActionsEnabled": True,
            "AlarmActions": [ANSWERED_ARN],
            **_metric(endpoint, "HasBacklogWithoutCapacity"),
            "Statistic": "Average",
            "Period": 60,
            "EvaluationPeriods": 1,
            "DatapointsToAlarm": 1,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "missing",
            "Tags": tags.as_list(),
        },
    )


def _metric(endpoint: str, name: str) -> Request:
    return {
        "MetricName": name,
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
    }


def _call(operation: str, parameters: Request) -> Call:
    return Call(service=SERVICE, operation=operation, parameters=parameters)

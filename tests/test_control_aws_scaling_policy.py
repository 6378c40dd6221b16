"""[scaling] of a deployment, and the requests that put it on a variant: botocore checks them."""

from pathlib import Path

import pytest
from plans import check_plan, validate

from contract.errors import SpecError
from control.aws.call import calls_json
from control.aws.scaling.policy import ScalingSpec, scaling_in
from control.aws.scaling.requests import scaling_calls, undo_calls

FILE = Path("dogs.toml")
USUAL = {"min": 1, "max": 3, "invocations_per_instance": 600}
KINDS = {
    "real-time": {**USUAL, "scale_in_cooldown_seconds": 120, "scale_out_cooldown_seconds": 30},
    "multi-model": USUAL,
    "asynchronous": {"min": 0, "max": 2, "backlog_per_instance": 5},
    "serverless": {"min": 1, "max": 10, "provisioned_utilization": 0.7},
}


def calls_for(kind, table):
    return scaling_calls("dogs", "main", kind, scaling_in(FILE, table), {"team": "dogs"})


@pytest.mark.parametrize("kind", KINDS)
def test_the_requests_of_every_kind_are_what_aws_takes(kind):
    check_plan(f"scaling_{kind.replace('-', '_')}", calls_for(kind, KINDS[kind]))
    for one in calls_json(undo_calls("dogs", "main", kind)):
        validate(one["service"], one["operation"], one["parameters"])


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("real-time", "SageMakerVariantInvocationsPerInstance"),
        ("multi-model", "SageMakerVariantInvocationsPerInstance"),
        ("serverless", "SageMakerVariantProvisionedConcurrencyUtilization"),
    ],
)
def test_each_kind_is_tracked_by_its_own_metric(kind, metric):
    target, policy = calls_for(kind, KINDS[kind])
    unit = "ProvisionedConcurrency" if kind == "serverless" else "InstanceCount"
    assert target.parameters["ScalableDimension"] == f"sagemaker:variant:Desired{unit}"
    tracking = policy.parameters["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["PredefinedMetricSpecification"] == {"PredefinedMetricType": metric}


def test_the_cooldowns_are_not_mixed_up():
    _, policy = calls_for("real-time", KINDS["real-time"])
    tracking = policy.parameters["TargetTrackingScalingPolicyConfiguration"]
    assert (tracking["ScaleInCooldown"], tracking["ScaleOutCooldown"]) == (120, 30)


def test_the_fast_metric_is_there_for_real_time():
    table = {"max": 3, "concurrent_requests_per_model": 5}
    _, policy = calls_for("real-time", table)
    metric = policy.parameters["TargetTrackingScalingPolicyConfiguration"]
    named = metric["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert named == "SageMakerVariantConcurrentRequestsPerModelHighResolution"


def test_only_an_asynchronous_endpoint_from_zero_is_woken_by_an_alarm():
    operations = [one.operation for one in calls_for("asynchronous", KINDS["asynchronous"])]
    assert operations == [
        "RegisterScalableTarget",
        "PutScalingPolicy",
        "PutScalingPolicy",
        "PutMetricAlarm",
    ]
    awake = {"min": 1, "max": 2, "backlog_per_instance": 5}
    operations = [one.operation for one in calls_for("asynchronous", awake)]
    # What an earlier min = 0 left is taken away.
    assert operations[2:] == ["DeleteScalingPolicy", "DeleteAlarms"]


def test_what_is_left_out_is_what_aws_takes_unasked():
    spec = scaling_in(FILE, {"max": 4, "invocations_per_instance": 100})
    assert spec == ScalingSpec(
        maximum=4,
        metric="invocations_per_instance",
        target=100.0,
        minimum=1,
        scale_in_cooldown_seconds=300,
        scale_out_cooldown_seconds=300,
    )


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"max": 3}, "exactly one of"),
        ({**USUAL, "backlog_per_instance": 5}, "got invocations_per_instance and backlog"),
        ({"invocations_per_instance": 5}, "scaling.max"),
        ({**USUAL, "maxx": 3}, "did you mean 'max'"),
        ({**USUAL, "min": 4}, "min <= max"),
        ({**USUAL, "min": True}, "a whole number"),
        ({**USUAL, "min": -1}, "a whole number from 0"),
        ({**USUAL, "max": 0}, "a whole number from 1"),
        ({**USUAL, "invocations_per_instance": 0}, "a number from"),
        ({**USUAL, "scale_in_cooldown_seconds": 7200}, "from 0 to 3600"),
        ({"max": 3, "provisioned_utilization": 70}, "0.1 to 0.9"),
    ],
)
def test_what_cannot_be_is_refused_with_the_files_name(table, words):
    with pytest.raises(SpecError) as caught:
        scaling_in(FILE, table)
    assert str(caught.value).startswith("dogs.toml: scaling")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "table", "words"),
    [
        ("real-time", {"min": 0, "max": 3, "invocations_per_instance": 9}, "asynchronous"),
        ("serverless", {"min": 0, "max": 3, "provisioned_utilization": 0.5}, "1 or more"),
        ("real-time", KINDS["asynchronous"], "invocations_per_instance"),
        ("asynchronous", USUAL, "backlog_per_instance"),
        ("multi-model", {"max": 3, "concurrent_requests_per_model": 5}, "MINUTE"),
        ("serverless", {"max": 300, "provisioned_utilization": 0.5}, "at most 200"),
        ("batch", USUAL, "expected an endpoint"),
    ],
)
def test_what_a_kind_cannot_do_is_refused(kind, table, words):
    with pytest.raises(SpecError, match=words):
        calls_for(kind, table)

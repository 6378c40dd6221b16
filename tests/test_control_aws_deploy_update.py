"""kennel deploy changes an endpoint that exists: canary, weights, roll-back, what is left over."""

import json
from functools import partial

import pytest
from endpoints import (
    Updates,
    configs,
    deploy,
    deploy_dogs,
    fixed_bundle,
    put_bucket,
    put_log,
    tags,
    typed,
    write_deployment,
)

from control.aws.endpoint.request import PREVIOUS
from control.aws.tags import EXPIRES

CANARY = '[update]\nstrategy = "canary"\nshare = 20\nwait_seconds = 60\nalarms = "auto"'
TWO_MACHINES = "instance_count = 2"
SCALING = "[scaling]\nmin = 1\nmax = 3\ninvocations_per_instance = 100"
TWO = """
[[variants]]
name = "a"
bundle = "bundle"
weight = {}
[[variants]]
name = "b"
bundle = "b"
"""


@pytest.fixture
def deployed(aws_here, tmp_path):
    """An endpoint dogs of the bundle beside the file; the account."""
    deploy_dogs(aws_here, tmp_path)
    return aws_here


def other_bundle(tmp_path, more="", name="other", **changes):
    if not (tmp_path / name).exists():
        fixed_bundle(tmp_path / name, name.encode())
    return write_deployment(tmp_path, more, bundle=name, **changes)


def test_another_bundle_takes_over_by_a_canary_that_alarms_watch(deployed, tmp_path):
    updates = Updates(deployed)
    before = configs(deployed)
    done = deploy(other_bundle(tmp_path, CANARY, place=TWO_MACHINES))
    assert done.returncode == 0, done.stderr
    assert "status:  Updating\nstatus:  InService" in done.stdout
    assert "--roll-back" in done.stdout
    (sent,) = updates.seen
    assert sent["EndpointConfigName"] not in before
    assert sent["DeploymentConfig"] == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 60,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 20},
            },
            "TerminationWaitInSeconds": 0,
            "MaximumExecutionTimeoutInSeconds": 60 + 1800 + 2 * 480,
        },
        "AutoRollbackConfiguration": {
            "Alarms": [
                {"AlarmName": "kennel-dogs-5xx.main"},
                {"AlarmName": "kennel-dogs-latency.main"},
            ]
        },
    }
    found = deployed.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {one["AlarmName"] for one in found} == {
        "kennel-dogs-5xx.main",
        "kennel-dogs-latency.main",
    }
    assert {tags(deployed)[PREVIOUS]} == before


def test_only_the_configuration_before_is_kept(deployed, tmp_path):
    Updates(deployed)
    (first,) = configs(deployed)
    first_model = deployed.client("sagemaker").list_models()["Models"][0]["ModelName"]
    assert deploy(other_bundle(tmp_path)).returncode == 0
    second = configs(deployed) - {first}
    client = deployed.client("sagemaker")
    client.create_endpoint_config(  # a stranger's, with a name like ours
        EndpointConfigName="dogs-0123456789ab",
        ProductionVariants=[
            {
                "VariantName": "main",
                "ModelName": first_model,
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
    )
    done = deploy(other_bundle(tmp_path, name="third"))
    assert done.returncode == 0, done.stderr
    assert f"removed: configuration {first}" in done.stdout
    assert first not in configs(deployed)
    assert second | {"dogs-0123456789ab"} < configs(deployed)
    assert len(configs(deployed)) == 3
    models = {one["ModelName"] for one in client.list_models()["Models"]}
    assert first_model not in models
    assert len(models) == 2


def test_a_model_that_a_kept_configuration_uses_stays(deployed, tmp_path):
    Updates(deployed)
    model = deployed.client("sagemaker").list_models()["Models"][0]["ModelName"]
    assert deploy(tmp_path / "dogs.toml", "--instance-count", "2").returncode == 0
    done = deploy(other_bundle(tmp_path))
    assert "removed: configuration" in done.stdout
    left = deployed.client("sagemaker").list_models()["Models"]
    assert model in [one["ModelName"] for one in left]


def test_roll_back_goes_to_the_configuration_before_and_forth_again(deployed, tmp_path):
    updates = Updates(deployed)
    (first,) = configs(deployed)
    path = other_bundle(tmp_path)
    assert deploy(path).returncode == 0
    second = updates.seen[0]["EndpointConfigName"]
    shown = json.loads(typed("deploy", path, "--roll-back", "--show").stdout)
    asked = typed("deploy", path, "--roll-back")
    assert asked.returncode == 2
    assert "add --yes" in asked.stderr
    back = deploy(path, "--roll-back")
    assert back.returncode == 0, back.stderr
    assert shown[0]["parameters"] == updates.seen[1]
    assert updates.seen[1] == {"EndpointName": "dogs", "EndpointConfigName": first}
    assert tags(deployed)[PREVIOUS] == second
    assert deploy(path, "--roll-back").returncode == 0
    assert updates.seen[2]["EndpointConfigName"] == second


def test_there_is_nothing_to_roll_back_to(deployed, tmp_path):
    done = typed("deploy", tmp_path / "dogs.toml", "--roll-back")
    assert done.returncode == 2
    assert "no earlier configuration" in done.stderr


def test_an_update_that_alarms_rolled_back_is_told_and_its_parts_go(deployed, tmp_path):
    (first,) = configs(deployed)
    put_log(deployed, "one answer in two is a 500")
    alarm = {"AlarmName": "kennel-dogs-5xx.main", "StateValue": "ALARM", "StateReason": "errors"}
    rings = partial(deployed.client("cloudwatch").set_alarm_state, **alarm)
    Updates(deployed, rings, EndpointConfigName=first, FailureReason="Alarms went off")
    done = deploy(other_bundle(tmp_path, CANARY, place=TWO_MACHINES))
    assert done.returncode == 1
    assert "rolled back" in done.stderr
    assert f"next:    kennel doctor {tmp_path}" in done.stdout
    assert "the alarm kennel-dogs-5xx.main rang; Alarms went off" in done.stderr
    assert "one answer in two is a 500" in done.stdout
    assert configs(deployed) == {first}
    assert len(deployed.client("sagemaker").list_models()["Models"]) == 1


def test_after_a_failed_update_one_can_still_go_back_to_the_one_before(deployed, tmp_path):
    updates = Updates(deployed)
    (first,) = configs(deployed)
    assert deploy(other_bundle(tmp_path)).returncode == 0
    second = updates.seen[0]["EndpointConfigName"]
    updates.ends["EndpointConfigName"] = second
    assert deploy(other_bundle(tmp_path, name="third")).returncode == 1
    assert tags(deployed)[PREVIOUS] == first
    assert configs(deployed) == {first, second}


def test_a_broken_update_names_the_ways_out(deployed, tmp_path):
    Updates(deployed, EndpointStatus="UpdateRollbackFailed", FailureReason="no capacity")
    path = other_bundle(tmp_path)
    done = deploy(path)
    assert done.returncode == 1
    assert "UpdateRollbackFailed: no capacity" in done.stderr
    again = deploy(path)
    assert again.returncode == 1
    assert "--roll-back" in again.stderr


def test_an_alarm_that_does_not_exist_is_named_before_anything_is_made(deployed, tmp_path):
    Updates(deployed)
    done = deploy(other_bundle(tmp_path, '[update]\nalarms = ["mine"]'))
    assert done.returncode == 2
    assert "'mine' does not exist" in done.stderr
    assert deployed.calls("CreateModel") == []


def test_weights_change_without_a_new_configuration(aws_here, tmp_path):
    put_bucket(aws_here)
    for name in ("bundle", "b"):
        fixed_bundle(tmp_path / name, name.encode())
    assert deploy(write_deployment(tmp_path, TWO.format(9), bundle=None)).returncode == 0
    aws_here.forget()
    done = deploy(write_deployment(tmp_path, TWO.format(3), bundle=None))
    assert done.returncode == 0, done.stderr
    assert "traffic: a 75%, b 25%" in done.stdout
    (sent,) = aws_here.calls("UpdateEndpointWeightsAndCapacities")
    assert sent["DesiredWeightsAndCapacities"] == [
        {"VariantName": "a", "DesiredWeight": 3.0},
        {"VariantName": "b", "DesiredWeight": 1.0},
    ]
    assert aws_here.calls("CreateEndpointConfig") == aws_here.calls("UpdateEndpoint") == []


def test_a_deleted_endpoint_comes_back_with_the_weights_of_the_file(aws_here, tmp_path):
    put_bucket(aws_here)
    for name in ("bundle", "b"):
        fixed_bundle(tmp_path / name, name.encode())
    assert deploy(write_deployment(tmp_path, TWO.format(9), bundle=None)).returncode == 0
    aws_here.client("sagemaker").delete_endpoint(EndpointName="dogs")
    assert deploy(write_deployment(tmp_path, TWO.format(4), bundle=None)).returncode == 0
    variants = aws_here.client("sagemaker").describe_endpoint(EndpointName="dogs")[
        "ProductionVariants"
    ]
    assert [one["CurrentWeight"] for one in variants] == [4.0, 1.0]


def test_another_ttl_moves_the_schedule_and_the_tag(deployed, tmp_path):
    scheduler = deployed.client("scheduler")
    before = scheduler.get_schedule(Name="kennel-endpoint-dogs")["ScheduleExpression"]
    path = tmp_path / "dogs.toml"
    assert deploy(path, "--ttl-hours", "9").returncode == 0
    after = scheduler.get_schedule(Name="kennel-endpoint-dogs")["ScheduleExpression"]
    assert after > before
    assert tags(deployed)[EXPIRES].removesuffix("+00:00") in after
    assert deploy(path, "--ttl-hours", "0").returncode == 0
    assert scheduler.list_schedules()["Schedules"] == []


def test_another_machine_takes_scaling_off_and_puts_it_on_again(aws_here, tmp_path):
    put_bucket(aws_here)
    updates = Updates(aws_here)
    path = write_deployment(tmp_path, SCALING)
    assert deploy(path).returncode == 0
    assert deploy(other_bundle(tmp_path, SCALING)).returncode == 0
    assert updates.seen[0]["RetainAllVariantProperties"] is True
    assert aws_here.calls("DeregisterScalableTarget") == []
    done = deploy(path, "--instance-type", "ml.m5.xlarge")
    assert done.returncode == 0, done.stderr
    assert "RetainAllVariantProperties" not in updates.seen[1]
    order = [
        one.operation
        for one in aws_here.seen
        if one.operation in ("DeregisterScalableTarget", "UpdateEndpoint", "RegisterScalableTarget")
    ]
    assert order[-3:] == ["DeregisterScalableTarget", "UpdateEndpoint", "RegisterScalableTarget"]


def test_traffic_is_not_shifted_between_variants_of_other_names(deployed, tmp_path):
    Updates(deployed)
    fixed_bundle(tmp_path / "b", b"b")
    done = deploy(
        write_deployment(tmp_path, TWO.format(1) + CANARY, bundle=None, place=TWO_MACHINES)
    )
    assert done.returncode == 2
    assert "variants of the same names" in done.stderr
    plain = deploy(write_deployment(tmp_path, TWO.format(1), bundle=None))
    assert plain.returncode == 0, plain.stderr


def test_update_wants_an_endpoint_that_exists(aws_here, tmp_path):
    done = deploy(write_deployment(tmp_path), "--update")
    assert done.returncode == 2
    assert "there is no endpoint dogs" in done.stderr


def test_old_parts_that_may_not_be_removed_fail_no_update(deployed, tmp_path):
    Updates(deployed)
    deployed.fail("ListEndpointConfigs", "AccessDeniedException", "User: u is not authorized")
    done = deploy(other_bundle(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "note:    old configurations stay" in done.stdout

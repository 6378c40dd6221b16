"""`kennel cleanup`: what goes, in which order, what stays and why."""

import json

import pytest
from aws_front import Refusal
from aws_world import (
    THEIRS,
    no_provisioned,
    put_alarm,
    put_endpoint,
    put_function,
    put_instance,
    put_log_group,
    put_role,
    put_scaling,
    put_training,
)
from plans import validate

from control.aws.house.found import Found
from control.aws.house.removal import CALLS, ORDER, removals
from control.cli import main

NAMED = {
    "list_endpoints": ("Endpoints", "EndpointName"),
    "list_endpoint_configs": ("EndpointConfigs", "EndpointConfigName"),
    "list_models": ("Models", "ModelName"),
}


def standing(aws):
    """Names of what SageMaker, Lambda, the scheduler, scaling, alarms and logs still hold."""
    client = aws.client("sagemaker")
    found = [
        item[name]
        for method, (key, name) in NAMED.items()
        for item in getattr(client, method)()[key]
    ]
    found += [one["FunctionName"] for one in aws.client("lambda").list_functions()["Functions"]]
    found += [one["Name"] for one in aws.client("scheduler").list_schedules()["Schedules"]]
    scaling = aws.client("application-autoscaling")
    found += [
        one["ResourceId"]
        for one in scaling.describe_scalable_targets(ServiceNamespace="sagemaker")[
            "ScalableTargets"
        ]
    ]
    alarms = aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    found += [
        one["AlarmName"] for one in alarms if not one["AlarmName"].startswith("TargetTracking")
    ]
    found += [one["logGroupName"] for one in aws.client("logs").describe_log_groups()["logGroups"]]
    return sorted(found)


def put_dogs(aws):
    """An endpoint with everything that hangs on one."""
    put_endpoint(aws, "dogs")
    put_scaling(aws, "dogs")
    put_alarm(aws, "kennel-dogs-errors", "dogs")
    put_log_group(aws, "/aws/sagemaker/Endpoints/dogs")


def put_strangers(aws):
    """What must never be touched; their names."""
    put_endpoint(aws, "theirs", is_ours=False, image=THEIRS)
    put_scaling(aws, "theirs")
    put_alarm(aws, "by-hand", "dogs", is_ours=False)
    put_function(aws, "their-function", is_ours=False)
    put_log_group(aws, "/aws/sagemaker/Endpoints/theirs")
    put_log_group(aws, "/aws/sagemaker/TrainingJobs")
    return [
        "/aws/lambda/their-function",
        "/aws/sagemaker/Endpoints/theirs",
        "/aws/sagemaker/TrainingJobs",
        "by-hand",
        "endpoint/theirs/variant/main",
        "their-function",
        "theirs",
        "theirs-config",
        "theirs-model",
    ]


@pytest.fixture
def account(aws_here):
    """An account in which Lambda knows what moto does not."""
    no_provisioned(aws_here)
    return aws_here


def test_everything_of_one_name_goes_and_nothing_of_a_stranger(account, capsys):
    put_dogs(account)
    put_endpoint(account, "cats")
    theirs = put_strangers(account)
    assert main(["cleanup", "dogs", "--yes"]) == 0
    cats = ["cats", "cats-config", "cats-model", "kennel-endpoint-cats"]
    assert standing(account) == sorted([*theirs, *cats])
    shown = capsys.readouterr().out
    assert "delete  endpoint" in shown
    assert "8 of 8 things are gone" in shown


def test_scaling_goes_before_the_endpoint_and_models_last(account):
    put_dogs(account)
    account.forget()
    assert main(["cleanup", "dogs", "--yes"]) == 0
    verbs = ("Delete", "Deregister", "Stop")
    order = [one.operation for one in account.seen if one.operation.startswith(verbs)]
    assert order == [
        "DeleteScalingPolicy",
        "DeregisterScalableTarget",
        "DeleteEndpoint",
        "DeleteAlarms",
        "DeleteSchedule",
        "DeleteLogGroup",
        "DeleteEndpointConfig",
        "DeleteModel",
    ]


def test_all_takes_jobs_instances_and_functions_too(account, capsys):
    theirs = put_strangers(account)
    put_dogs(account)
    put_function(account, "front")
    instance = put_instance(account, "cats")
    put_training(account, "dogs-1")
    account.answer("StopTrainingJob", {})
    account.forget()
    assert main(["cleanup", "--all", "--yes"]) == 0
    assert standing(account) == theirs
    assert account.calls("StopTrainingJob") == [{"TrainingJobName": "dogs-1"}]
    states = account.client("ec2").describe_instances(InstanceIds=[instance])
    state = states["Reservations"][0]["Instances"][0]["State"]["Name"]
    assert state in ("shutting-down", "terminated")
    assert {"lambda:DeleteFunctionUrlConfig", "lambda:DeleteFunction"} <= account.actions


def test_the_same_command_again_finds_nothing_and_is_content(account, capsys):
    put_dogs(account)
    assert main(["cleanup", "dogs", "--yes"]) == 0
    account.forget()
    assert main(["cleanup", "dogs", "--yes"]) == 0
    assert "nothing of the name 'dogs' is in us-east-1" in capsys.readouterr().out
    assert not [one for one in account.seen if one.operation.startswith("Delete")]


def test_it_finishes_what_is_half_gone(account):
    put_dogs(account)
    client = account.client("sagemaker")
    client.delete_endpoint(EndpointName="dogs")
    client.delete_model(ModelName="dogs-model")
    account.client("scheduler").delete_schedule(Name="kennel-endpoint-dogs")
    assert main(["cleanup", "dogs", "--yes"]) == 0
    assert standing(account) == []


def test_what_goes_between_the_look_and_the_deletion_was_gone(account, capsys):
    put_dogs(account)

    def gone(_):
        raise Refusal("ValidationException", 'Could not find model "dogs-model".')

    account.answer("DeleteModel", gone)
    assert main(["cleanup", "dogs", "--yes"]) == 0
    assert "was gone: model dogs-model" in capsys.readouterr().out


def test_a_refusal_in_the_middle_is_noted_and_the_rest_goes(account, capsys):
    put_dogs(account)
    denied = "User: arn:aws:iam::1:user/x is not authorized to perform: cloudwatch:DeleteAlarms"
    account.fail("DeleteAlarms", "AccessDenied", denied, status=403)
    assert main(["cleanup", "dogs", "--yes"]) == 1
    assert standing(account) == ["kennel-dogs-errors"]
    shown = capsys.readouterr().out
    assert "7 of 8 things are gone" in shown
    assert "left:    alarm kennel-dogs-errors: DeleteAlarms: AWS says AccessDenied" in shown
    assert "cloudwatch:DeleteAlarms" in shown
    assert main(["cleanup", "dogs", "--yes"]) == 0  # the right has been given meanwhile
    assert standing(account) == []


def test_an_endpoint_that_stays_keeps_what_it_stands_on_and_its_end(account, capsys):
    put_dogs(account)

    def refused(_):
        raise Refusal("ValidationException", "Cannot update in-progress endpoint")

    account.answer("DeleteEndpoint", refused)
    assert main(["cleanup", "dogs", "--yes", "-o", "json"]) == 1
    left = json.loads(capsys.readouterr().out)["left"]
    assert [one["kind"] for one in left] == [
        "endpoint",
        "schedule",
        "log group",
        "endpoint config",
        "model",
    ]
    assert "in-progress" in left[0]["why"]
    assert {one["why"] for one in left[1:]} == {"its endpoint is still there"}
    assert "kennel-endpoint-dogs" in standing(account)


def test_throttled_deletions_are_sent_again(account):
    put_dogs(account)
    account.fail("DeleteEndpoint", "ThrottlingException", "Rate exceeded", times=2)
    assert main(["cleanup", "dogs", "--yes"]) == 0
    assert standing(account) == []


def test_a_job_that_ended_meanwhile_is_no_refusal(account, capsys):
    put_training(account, "dogs-1")

    def ended(_):
        raise Refusal(
            "ValidationException",
            "The request was rejected because the training job is in status Completed.",
        )

    account.answer("StopTrainingJob", ended)
    assert main(["cleanup", "dogs", "--yes"]) == 0
    assert "was gone: training job dogs-1" in capsys.readouterr().out


def test_show_prints_the_requests_and_sends_none(account, capsys):
    put_dogs(account)
    before = standing(account)
    account.forget()
    assert main(["cleanup", "dogs", "--show"]) == 0
    requests = json.loads(capsys.readouterr().out)
    assert not [one for one in account.seen if one.operation.startswith("Delete")]
    assert standing(account) == before
    assert [one["operation"] for one in requests][2] == "DeleteEndpoint"
    for one in requests:
        validate(one["service"], one["operation"], one["parameters"])
    account.forget()
    assert main(["cleanup", "dogs", "--yes"]) == 0
    sent = [one.operation for one in account.seen if one.operation.startswith(("Delete", "Dereg"))]
    assert sent == [one["operation"] for one in requests]


def test_every_kind_has_a_place_in_the_order_and_calls_that_awss_model_allows():
    about = {
        "target": {
            "ServiceNamespace": "sagemaker",
            "ResourceId": "endpoint/dogs/variant/main",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        },
        "kept": ["live"],
        "has_url": True,
        "group": "default",
        "attached": ["arn:aws:iam::123456789012:policy/kennel"],
        "inline": ["kennel"],
        "profiles": ["some-name-of-it"],
    }
    things = [Found(kind=kind, id="some-name-of-it", about=about) for kind in reversed(ORDER)]
    plan = removals(things)
    assert [one.thing.kind for one in plan] == list(ORDER)
    assert set(CALLS) == set(ORDER)
    for call in (call for one in plan for call in one.calls):
        validate(call.service, call.operation, dict(call.parameters))


def test_roles_stay_unless_asked_for(account):
    put_role(account, "kennel-endpoint", "sagemaker.amazonaws.com")
    put_role(account, "kennel-by-hand", "sagemaker.amazonaws.com", is_ours=False)
    put_endpoint(account, "dogs")
    roles = account.client("iam").list_roles
    assert main(["cleanup", "--all", "--yes"]) == 0
    assert len(roles()["Roles"]) == 2
    assert main(["cleanup", "--all", "--roles", "--yes"]) == 0
    assert [one["RoleName"] for one in roles()["Roles"]] == ["kennel-by-hand"]


def test_archives_and_images_are_named_with_their_price_and_kept(account, capsys):
    put_endpoint(account, "dogs")
    s3 = account.client("s3")
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="dogs.tar.gz", Body=b"x" * 5000)
    s3.put_object(Bucket="models", Key="dogs.tar.gz.old", Body=b"x" * 9000)
    assert main(["cleanup", "dogs", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert (
        "s3://models/dogs.tar.gz, 5.0 KB, <$0.0001 a month: aws s3 rm s3://models/dogs.tar.gz"
        in shown
    )
    assert len(s3.list_objects_v2(Bucket="models")["Contents"]) == 2

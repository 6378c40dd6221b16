"""kennel deploy beside another one, or with answers that got lost: endpoints keep their ends."""

import json

import pytest
from aws_front import Aws, Refusal
from endpoints import deploy, fixed_bundle, put_bucket, typed, write_deployment

from control.aws.tags import EXPIRES

TAKEN = 'Cannot create already existing {} "arn:aws:sagemaker:us-east-1:123456789012:{}/dogs".'
TWO = """
[[variants]]
name = "a"
bundle = "bundle"
weight = 0.1
[[variants]]
name = "b"
bundle = "b"
weight = 0.7
"""


@pytest.fixture
def real(moto_url):
    """The account behind the front: what is made here is not seen on its way."""
    return Aws(url=moto_url, environment={})


def schedules(aws):
    return [one["Name"] for one in aws.client("scheduler").list_schedules()["Schedules"]]


@pytest.mark.parametrize("thing", ["model", "endpoint config", "endpoint"])
def test_a_lost_answer_is_no_failure_and_the_endpoint_keeps_its_end(
    aws_here, real, tmp_path, thing
):
    """AWS did it, the connection broke, and the call that is sent again finds it done."""
    put_bucket(aws_here)
    operation = "Create" + "".join(map(str.capitalize, thing.split()))

    def lose(request):
        getattr(real.client("sagemaker"), f"create_{thing.replace(' ', '_')}")(**request)
        words = thing.replace("config", "configuration")
        raise Refusal("ValidationException", TAKEN.format(words, thing.replace(" ", "-")))

    aws_here.answer(operation, lose)
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert schedules(aws_here) == ["kennel-endpoint-dogs"]
    assert aws_here.calls("DeleteEndpoint") == aws_here.calls("DeleteModel") == []


@pytest.mark.parametrize("expires", ["2099-01-01T00:00:00+00:00", "never", ""])
def test_who_comes_second_changes_nothing_about_the_end_of_the_first(
    aws_here, real, tmp_path, expires
):
    """Both saw no endpoint. An end that is asked for stays, and none comes where none was."""
    put_bucket(aws_here)

    def first(request):
        client = real.client("sagemaker")
        (model,) = client.list_models()["Models"]
        variant = {
            "VariantName": "v",
            "ModelName": model["ModelName"],
            "InstanceType": "ml.c5.large",
        }
        client.create_endpoint_config(EndpointConfigName="theirs", ProductionVariants=[variant])
        tags = [{"Key": EXPIRES, "Value": expires}] if expires else []
        client.create_endpoint(EndpointName="dogs", EndpointConfigName="theirs", Tags=tags)
        raise Refusal("ValidationException", TAKEN.format("endpoint", "endpoint"))

    aws_here.answer("CreateEndpoint", first)
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 2
    assert "endpoint dogs was made by somebody else meanwhile" in done.stderr
    is_ending = expires.startswith("2099")
    assert schedules(aws_here) == (["kennel-endpoint-dogs"] if is_ending else [])
    assert aws_here.calls("DeleteEndpoint") == aws_here.calls("DeleteModel") == []


def put_schedule(real):
    """What an earlier endpoint of this name has left."""
    real.client("scheduler").create_schedule(
        Name="kennel-endpoint-dogs",
        ScheduleExpression="at(2099-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:deleteEndpoint",
            "RoleArn": "arn:aws:iam::123456789012:role/kennel-expiry",
            "Input": json.dumps({"EndpointName": "dogs"}),
        },
    )


def test_a_schedule_that_was_there_is_not_ended_when_the_endpoint_is_refused(
    aws_here, real, tmp_path
):
    put_bucket(aws_here)
    put_schedule(real)
    aws_here.fail("CreateEndpoint", "ResourceLimitExceeded", "no more of these")
    assert deploy(write_deployment(tmp_path)).returncode == 1
    assert schedules(aws_here) == ["kennel-endpoint-dogs"]


def test_an_endpoint_without_an_end_is_not_ended_by_an_earlier_ones_schedule(
    aws_here, real, tmp_path
):
    put_bucket(aws_here)
    put_schedule(real)
    done = deploy(write_deployment(tmp_path), "--ttl-hours", "0")
    assert done.returncode == 0, done.stderr
    assert schedules(aws_here) == []


def test_who_wants_no_schedule_needs_no_right_to_any(aws_here, tmp_path):
    put_bucket(aws_here)
    aws_here.fail("DeleteSchedule", "AccessDeniedException", "not authorized", status=403)
    done = deploy(write_deployment(tmp_path), "--ttl-hours", "0")
    assert done.returncode == 0, done.stderr


def test_an_end_before_the_endpoint_is_there_is_refused(aws_here, tmp_path):
    """AWS deletes nothing that is still being made, and the schedule would have been used up."""
    put_bucket(aws_here)
    done = deploy(write_deployment(tmp_path), "--ttl-hours", "0.3")
    assert done.returncode == 2
    assert "ttl_hours: expected 0, or at least 0.43" in done.stderr
    slow = write_deployment(tmp_path, place="startup_seconds = 3600")
    assert "at least 2.17" in deploy(slow, "--ttl-hours", "2").stderr
    assert aws_here.calls("CreateModel") == []


def test_more_machines_by_scaling_are_agreed_to_and_fewer_are_not_asked_about(aws_here, tmp_path):
    put_bucket(aws_here)
    scaling = "[scaling]\nmin = 1\nmax = {}\ninvocations_per_instance = 100"
    assert deploy(write_deployment(tmp_path, scaling.format(3))).returncode == 0
    more = typed("deploy", write_deployment(tmp_path, scaling.format(9)))
    assert more.returncode == 2
    assert "add --yes" in more.stderr
    assert "9 x ml.m5.large, endpoint dogs, variant main, scaled out: $1.035" in more.stdout
    assert [one["MaxCapacity"] for one in aws_here.calls("RegisterScalableTarget")] == [3]
    assert typed("deploy", write_deployment(tmp_path, scaling.format(2))).returncode == 0
    assert [one["MaxCapacity"] for one in aws_here.calls("RegisterScalableTarget")] == [3, 2]


def test_an_endpoint_of_which_nobody_knows_keeps_its_end(aws_here, tmp_path):
    put_bucket(aws_here)
    aws_here.fail("CreateEndpoint", "InternalFailure", "try later", status=500, times=8)
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 1
    assert "it may have been made all the same: `kennel deploy" in done.stderr
    assert schedules(aws_here) == ["kennel-endpoint-dogs"]
    assert aws_here.calls("DeleteModel") == []


def test_what_cannot_be_deleted_keeps_the_schedule_that_ends_it(aws_here, tmp_path):
    put_bucket(aws_here)
    aws_here.stages("DescribeEndpoint", {"EndpointStatus": "Failed", "FailureReason": "no disk"})
    aws_here.fail("DeleteEndpoint", "ValidationException", "Cannot update in-progress endpoint")
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 1
    assert "note:    it stays: DeleteEndpoint" in done.stdout
    assert "not all that was made could be removed: `kennel cleanup dogs`" in done.stderr
    assert schedules(aws_here) == ["kennel-endpoint-dogs"]


def test_a_name_that_is_not_quite_free_yet_is_tried_again(aws_here, tmp_path):
    put_bucket(aws_here)
    words = TAKEN.format("endpoint", "endpoint")
    aws_here.fail("CreateEndpoint", "ValidationException", words, times=2)
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(aws_here.calls("CreateEndpoint")) == 3


def test_weights_that_aws_keeps_in_32_bits_are_the_same_weights(aws_here, tmp_path):
    put_bucket(aws_here)
    for name in ("bundle", "b"):
        fixed_bundle(tmp_path / name, name.encode())
    path = write_deployment(tmp_path, TWO, bundle=None)
    assert deploy(path).returncode == 0
    weights = {"a": 0.10000000149011612, "b": 0.699999988079071}
    variants = [
        {"VariantName": name, "CurrentWeight": weight, "DesiredWeight": weight}
        for name, weight in weights.items()
    ]
    aws_here.stages("DescribeEndpoint", {"ProductionVariants": variants})
    aws_here.forget()
    done = deploy(path)
    assert "is as the file says; nothing was changed" in done.stdout
    assert aws_here.calls("UpdateEndpointWeightsAndCapacities") == []

"""kennel deploy where something of an endpoint was lost, or fails, while the endpoint goes on."""

import json

import pytest
from aws_front import Refusal
from endpoints import (
    Updates,
    configs,
    deploy,
    deploy_dogs,
    fixed_bundle,
    put_bucket,
    tags,
    typed,
    write_deployment,
)
from scaled import make_endpoint, targets_of

from control.aws.endpoint.request import PREVIOUS
from control.aws.tags import EXPIRES

SCALING = "[scaling]\nmin = 1\nmax = 3\ninvocations_per_instance = 100\n"
SCHEDULE = "kennel-endpoint-dogs"
FEWER = ("--max", "2", "--invocations-per-instance", "60")
BUSY = ("InternalFailure", "busy")


def at(aws):
    return aws.client("scheduler").get_schedule(Name=SCHEDULE)["ScheduleExpression"]


@pytest.fixture
def deployed(aws_here, tmp_path):
    """An endpoint dogs of the bundle beside the file; the account."""
    deploy_dogs(aws_here, tmp_path)
    return aws_here


def other(tmp_path, more="", **changes):
    if not (tmp_path / "other").exists():
        fixed_bundle(tmp_path / "other", b"other")
    return write_deployment(tmp_path, more, bundle="other", **changes)


def set_schedule(aws, **changes):
    client = aws.client("scheduler")
    keys = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    found = client.get_schedule(Name=SCHEDULE)
    client.update_schedule(**{**{key: found[key] for key in keys}, **changes})


@pytest.mark.parametrize("trouble", ["gone", "switched off", "did not delete it"])
def test_an_end_that_will_not_come_is_made_anew_once_somebody_agrees(deployed, tmp_path, trouble):
    """The tag alone says that the endpoint ends: nothing would end it."""
    if trouble == "gone":
        deployed.client("scheduler").delete_schedule(Name=SCHEDULE)
    elif trouble == "switched off":
        set_schedule(deployed, State="DISABLED")
    else:
        set_schedule(deployed, ScheduleExpression="at(2020-01-01T00:00:00)")
    path = tmp_path / "dogs.toml"
    refused = typed("deploy", path)
    assert refused.returncode == 2
    assert "add --yes" in refused.stderr
    done = deploy(path)
    assert done.returncode == 0, done.stderr
    assert trouble in done.stdout
    assert "nothing was changed" not in done.stdout
    assert at(deployed) == f"at({tags(deployed)[EXPIRES].removesuffix('+00:00')})"
    assert at(deployed) > "at(2026"
    assert f"expires: {tags(deployed)[EXPIRES]}" in done.stdout
    assert "nothing was changed" in typed("deploy", path).stdout


def test_the_time_that_is_told_is_the_schedules_and_not_the_tags(deployed, tmp_path):
    set_schedule(deployed, ScheduleExpression="at(2098-01-01T00:00:00)")
    done = typed("deploy", tmp_path / "dogs.toml")
    assert "expires: 2098-01-01T00:00:00+00:00" in done.stdout


def test_who_may_not_see_schedules_is_told_so_and_hears_the_tag(deployed, tmp_path):
    deployed.fail("GetSchedule", "AccessDeniedException", "not authorized", status=403)
    done = typed("deploy", tmp_path / "dogs.toml")
    assert done.returncode == 0, done.stderr
    assert "note:    the scheduled deletion of dogs: AWS says AccessDenied" in done.stdout
    assert f"expires: {tags(deployed)[EXPIRES]}" in done.stdout


def test_going_back_tells_of_an_end_that_will_not_come(deployed, tmp_path):
    Updates(deployed)
    assert deploy(other(tmp_path)).returncode == 0
    deployed.client("scheduler").delete_schedule(Name=SCHEDULE)
    back = deploy(tmp_path / "dogs.toml", "--roll-back")
    assert back.returncode == 0, back.stderr
    assert "is gone: `kennel deploy" in back.stdout
    assert "until it is deleted" in back.stdout


@pytest.mark.parametrize("is_new", [True, False])
def test_scaling_that_fails_says_that_an_endpoint_answers_and_costs(aws_here, tmp_path, is_new):
    put_bucket(aws_here)
    Updates(aws_here)
    path = write_deployment(tmp_path, SCALING)
    if not is_new:
        assert deploy(path).returncode == 0
        path = other(tmp_path, SCALING)
    aws_here.fail("PutScalingPolicy", "ValidationException", "no such metric")
    done = deploy(path)
    assert done.returncode == 1
    assert "scaling of dogs: AWS says ValidationException: no such metric" in done.stderr
    expires = tags(aws_here)[EXPIRES]
    assert f"endpoint dogs answers all the same, and costs until {expires}" in done.stderr
    assert "`kennel cleanup dogs` removes it" in done.stderr
    assert at(aws_here) == f"at({expires.removesuffix('+00:00')})"
    assert deploy(path).returncode == 0


def forget_configuration(aws):
    (name,) = configs(aws)
    aws.client("sagemaker").delete_endpoint_config(EndpointConfigName=name)
    return name


def test_an_endpoint_whose_configuration_is_gone_is_updated_all_the_same(aws_here, tmp_path):
    put_bucket(aws_here)
    updates = Updates(aws_here)
    assert deploy(write_deployment(tmp_path, SCALING)).returncode == 0
    name = forget_configuration(aws_here)
    done = deploy(other(tmp_path, SCALING))
    assert done.returncode == 0, done.stderr
    assert f"configuration {name} is gone: there is no way back to it" in done.stdout
    assert "RetainAllVariantProperties" not in updates.seen[0]
    order = [one.operation for one in aws_here.seen]
    assert order.index("DeregisterScalableTarget") < order.index("UpdateEndpoint")
    assert len(targets_of(aws_here)) == 1
    back = deploy(tmp_path / "dogs.toml", "--roll-back")
    assert back.returncode == 2
    assert f"`kennel deploy {tmp_path / 'dogs.toml'}` gives it that of the file" in back.stderr


def test_going_back_needs_only_the_configuration_before(deployed, tmp_path):
    updates = Updates(deployed)
    (first,) = configs(deployed)
    assert deploy(other(tmp_path, SCALING)).returncode == 0
    second = updates.seen[0]["EndpointConfigName"]
    deployed.client("sagemaker").delete_endpoint_config(EndpointConfigName=second)
    back = deploy(tmp_path / "dogs.toml", "--roll-back")
    assert back.returncode == 0, back.stderr
    assert updates.seen[1]["EndpointConfigName"] == first
    assert "scaling was taken off" in back.stdout


def test_scaling_is_shown_without_a_configuration(aws_here):
    make_endpoint(aws_here)
    aws_here.client("sagemaker").delete_endpoint_config(EndpointConfigName="dogs")
    aws_here.answer("DescribeScalingActivities", {"ScalingActivities": []})
    done = typed("scale", "show", "dogs")
    assert done.returncode == 0, done.stderr
    assert "endpoint dogs: InService, real-time" in done.stdout
    words = ("--max", "3", "--invocations-per-instance", "60", "--yes")
    applied = typed("scale", "apply", "dogs", *words)
    assert applied.returncode == 0, applied.stderr
    assert "unknown type" in applied.stdout


def test_an_update_without_an_answer_names_what_it_left_and_who_goes_on(deployed, tmp_path):
    before = configs(deployed)
    deployed.fail("UpdateEndpoint", *BUSY, status=500, times=8)
    path = other(tmp_path)
    done = deploy(path)
    assert done.returncode == 1
    (new,) = configs(deployed) - before
    assert f"the update of dogs to {new}, which is there for it, may have begun" in done.stderr
    assert f"`kennel deploy {path}` looks, and goes on" in done.stderr
    updates = Updates(deployed)
    assert deploy(path).returncode == 0
    assert updates.seen[0]["EndpointConfigName"] == new


def test_an_update_that_aws_refuses_leaves_nothing_of_it(deployed, tmp_path):
    before, old_tags = configs(deployed), tags(deployed)

    def refused(_):
        raise Refusal("ResourceLimitExceeded", "no more of these")

    deployed.answer("UpdateEndpoint", refused)
    done = deploy(other(tmp_path))
    assert done.returncode == 1
    assert "ResourceLimitExceeded" in done.stderr
    assert configs(deployed) == before
    assert len(deployed.client("sagemaker").list_models()["Models"]) == 1
    assert tags(deployed) == old_tags
    assert PREVIOUS not in old_tags


def test_scaling_that_a_refused_update_took_off_is_told(aws_here, tmp_path):
    put_bucket(aws_here)
    path = write_deployment(tmp_path, SCALING)
    assert deploy(path).returncode == 0

    def refused(_):
        raise Refusal("ResourceLimitExceeded", "no more of these")

    aws_here.answer("UpdateEndpoint", refused)
    done = deploy(path, "--instance-type", "ml.m5.xlarge")
    assert done.returncode == 1
    assert f"scaling was taken off: `kennel scale apply {path}` puts it on" in done.stdout


def test_a_wrong_time_between_questions_is_told_before_anything_is_made(
    aws_here, tmp_path, monkeypatch
):
    put_bucket(aws_here)
    aws_here.forget()
    monkeypatch.setenv("KENNEL_POLL_SECONDS", "0")
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 2
    assert "KENNEL_POLL_SECONDS: expected seconds from 0.01 to 3600, got '0'" in done.stderr
    asking = ("Describe", "Get", "List", "Head")
    assert [one for one in aws_here.seen if not one.operation.startswith(asking)] == []


@pytest.mark.parametrize(
    ("update", "place", "seconds"),
    [
        ('strategy = "canary"\nwait_seconds = 60', "instance_count = 2", 60 + 1800 + 2 * 480),
        ("keep_seconds = 60", "startup_seconds = 3600", 60 + 1800 + 2 * 3600),
        (
            'strategy = "rolling"\nshare = 25\nwait_seconds = 0',
            "instance_count = 9",
            4 * (1800 + 2 * 480),
        ),
        (
            'strategy = "rolling"\nshare = 5\nwait_seconds = 0',
            "instance_count = 9",
            28_800,
        ),  # AWS gives no more
    ],
)
def test_an_update_may_take_as_long_as_its_machines_may(tmp_path, update, place, seconds):
    path = write_deployment(tmp_path, f"[update]\n{update}", place=place)
    shown = json.loads(typed("deploy", path, "--update", "--show").stdout)
    (sent,) = (one["parameters"] for one in shown if one["operation"] == "UpdateEndpoint")
    (policy,) = sent["DeploymentConfig"].values()
    assert policy["MaximumExecutionTimeoutInSeconds"] == seconds


def test_the_update_that_is_shown_registers_scaling_as_it_is_sent(aws_here, tmp_path):
    """AWS takes tags of a variant the first time that it is registered, and refuses them later."""
    put_bucket(aws_here)
    Updates(aws_here)
    path = write_deployment(tmp_path, SCALING)
    assert deploy(path).returncode == 0
    (first,) = aws_here.calls("RegisterScalableTarget")
    path = other(tmp_path, SCALING)
    shown = json.loads(typed("deploy", path, "--update", "--show").stdout)
    assert deploy(path).returncode == 0
    asked = typed("scale", "apply", "dogs", *FEWER, "--show")
    assert typed("scale", "apply", "dogs", *FEWER, "--yes").returncode == 0
    sent = aws_here.calls("RegisterScalableTarget")[1:]
    for shown_, sent_ in zip((shown, json.loads(asked.stdout)), sent, strict=True):
        (one,) = (one for one in shown_ if one["operation"] == "RegisterScalableTarget")
        assert one["parameters"] == sent_
        assert "Tags" not in sent_
    assert first["Tags"]["kennel:name"] == "dogs"

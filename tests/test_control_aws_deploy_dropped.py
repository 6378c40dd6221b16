"""What a deployment's file has no longer, or has newly, beside its configuration, is so in AWS."""

import json

import pytest
from aws_front import Refusal
from endpoints import Updates, fixed_bundle, put_bucket, tags, typed, write_deployment
from plans import validate
from scaled import alarms_of, policies_of, targets_of

SCALING = "[scaling]\nmin = 1\nmax = 3\ninvocations_per_instance = 100\n"
ALARMS = '[update]\nalarms = "auto"\n'
ASYNCHRONOUS = 'kind = "asynchronous"'
QUEUE = '[asynchronous]\noutput = "s3://models/out"\n'
FROM_ZERO = "[scaling]\nmin = 0\nmax = 2\nbacklog_per_instance = 5\n"
TWO = """
[[variants]]
name = "a"
bundle = "bundle"
[[variants]]
name = "b"
bundle = "bundle"
"""
WATCHED = {"kennel-dogs-5xx.main", "kennel-dogs-latency.main"}


def deploy(path, *flags):
    done = typed("deploy", path, "--yes", *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def schedules(aws):
    return {one["Name"] for one in aws.client("scheduler").list_schedules()["Schedules"]}


@pytest.fixture
def scaled(aws_here, tmp_path):
    """An endpoint dogs with scaling and alarms; the account."""
    put_bucket(aws_here)
    deploy(write_deployment(tmp_path, SCALING + ALARMS))
    assert targets_of(aws_here)
    assert {one["AlarmName"] for one in alarms_of(aws_here)} == WATCHED
    aws_here.forget()
    return aws_here


def test_scaling_that_the_file_has_no_longer_is_taken_off_and_that_is_said(scaled, tmp_path):
    said = deploy(write_deployment(tmp_path, ALARMS))
    assert "scaling: taken off variant main" in said
    assert "nothing was changed" not in said
    assert (targets_of(scaled), policies_of(scaled)) == ([], [])
    assert {one["AlarmName"] for one in alarms_of(scaled)} == WATCHED
    assert "nothing was changed" in deploy(tmp_path / "dogs.toml")


def test_scaling_that_the_file_changes_is_not_called_no_change(aws_here, tmp_path):
    put_bucket(aws_here)
    tables = {"": SCALING, ASYNCHRONOUS: QUEUE + FROM_ZERO}
    for top, table in tables.items():
        path = write_deployment(tmp_path, table, top=top)
        deploy(path, "--name", f"dogs-{len(top)}")
        assert "nothing was changed" in deploy(path, "--name", f"dogs-{len(top)}")
        for old, new in (("max = ", "max = 1"), ("per_instance = ", "per_instance = 7")):
            table = table.replace(old, new)
            path = write_deployment(tmp_path, table, top=top)
            assert "nothing was changed" not in deploy(path, "--name", f"dogs-{len(top)}")
        assert "nothing was changed" in deploy(path, "--name", f"dogs-{len(top)}")


def test_without_scaling_there_are_as_many_machines_as_the_file_says(scaled, tmp_path):
    variant = {"VariantName": "main", "CurrentWeight": 1.0, "DesiredWeight": 1.0}
    grown = {**variant, "CurrentInstanceCount": 3, "DesiredInstanceCount": 3}
    scaled.stages("DescribeEndpoint", {"ProductionVariants": [grown]})
    deploy(write_deployment(tmp_path, ALARMS))
    (sent,) = scaled.calls("UpdateEndpointWeightsAndCapacities")
    validate("sagemaker", "UpdateEndpointWeightsAndCapacities", sent)
    assert sent["DesiredWeightsAndCapacities"] == [
        {"VariantName": "main", "DesiredWeight": 1.0, "DesiredInstanceCount": 1}
    ]
    order = [one.operation for one in scaled.seen]
    assert order.index("DeregisterScalableTarget") < order.index(
        "UpdateEndpointWeightsAndCapacities"
    )


def test_alarms_that_the_file_has_no_longer_are_removed(scaled, tmp_path):
    said = deploy(write_deployment(tmp_path, SCALING))
    assert "alarm:   kennel-dogs-5xx.main is removed" in said
    assert alarms_of(scaled) == []
    assert schedules(scaled) == {"kennel-endpoint-dogs"}
    assert targets_of(scaled)


def test_both_go_with_another_configuration_too(scaled, tmp_path):
    Updates(scaled)
    fixed_bundle(tmp_path / "other", b"other")
    said = deploy(write_deployment(tmp_path, bundle="other"))
    assert "scaling: taken off variant main" in said
    assert (targets_of(scaled), alarms_of(scaled)) == ([], [])
    assert schedules(scaled) == {"kennel-endpoint-dogs"}
    order = [one.operation for one in scaled.seen]
    assert order.index("UpdateEndpoint") < order.index("DeregisterScalableTarget")


def test_what_wakes_an_asynchronous_endpoint_goes_with_its_scaling(aws_here, tmp_path):
    """At no machine it would never answer again: one is asked for, which is agreed to."""
    put_bucket(aws_here)
    deploy(write_deployment(tmp_path, QUEUE + FROM_ZERO, top=ASYNCHRONOUS))
    assert alarms_of(aws_here)
    asleep = {"VariantName": "main", "CurrentWeight": 1.0, "DesiredWeight": 1.0}
    asleep |= {"CurrentInstanceCount": 0, "DesiredInstanceCount": 0}
    aws_here.stages("DescribeEndpoint", {"ProductionVariants": [asleep]})
    path = write_deployment(tmp_path, QUEUE, top=ASYNCHRONOUS)
    assert "add --yes" in typed("deploy", path).stderr
    assert targets_of(aws_here)
    deploy(path)
    assert (targets_of(aws_here), policies_of(aws_here), alarms_of(aws_here)) == ([], [], [])
    assert schedules(aws_here) == {"kennel-endpoint-dogs"}
    (sent,) = aws_here.calls("UpdateEndpointWeightsAndCapacities")
    assert sent["DesiredWeightsAndCapacities"][0]["DesiredInstanceCount"] == 1


def test_scaling_of_variants_that_the_file_has_no_longer_goes_with_them(aws_here, tmp_path):
    put_bucket(aws_here)
    Updates(aws_here)
    fixed_bundle(tmp_path / "bundle")
    deploy(write_deployment(tmp_path, TWO + SCALING, bundle=None))
    assert len(targets_of(aws_here)) == 2
    deploy(write_deployment(tmp_path, SCALING))
    (left,) = targets_of(aws_here)
    assert left["ResourceId"] == "endpoint/dogs/variant/main"


def test_new_tags_are_put_on_the_endpoint_and_that_is_no_unchanged_one(aws_here, tmp_path):
    put_bucket(aws_here)
    deploy(write_deployment(tmp_path, place='tags = { team = "a" }'))
    path = write_deployment(tmp_path, place='tags = { team = "b", cost = "9" }')
    assert "nothing was changed" not in deploy(path)
    assert tags(aws_here).items() >= {"team": "b", "cost": "9", "kennel:name": "dogs"}.items()
    assert "nothing was changed" in deploy(path)
    Updates(aws_here)
    path = write_deployment(tmp_path, place='tags = { team = "c" }\ninstance_count = 2')
    deploy(path)
    assert tags(aws_here)["team"] == "c"


def test_alarms_that_the_file_has_newly_are_made_and_end_with_the_endpoint(aws_here, tmp_path):
    put_bucket(aws_here)
    deploy(write_deployment(tmp_path))
    deploy(write_deployment(tmp_path, ALARMS))
    assert {one["AlarmName"] for one in alarms_of(aws_here)} == WATCHED
    client = aws_here.client("scheduler")
    times = {
        client.get_schedule(Name=name)["ScheduleExpression"]
        for name in ("kennel-endpoint-dogs", "kennel-alarms-dogs")
    }
    assert len(times) == 1


def test_the_update_that_is_shown_takes_off_what_the_file_has_not(scaled, tmp_path):
    shown = json.loads(typed("deploy", write_deployment(tmp_path), "--update", "--show").stdout)
    for one in shown:
        validate(one["service"], one["operation"], one["parameters"])
    Updates(scaled)
    fixed_bundle(tmp_path / "other", b"other")
    deploy(write_deployment(tmp_path, bundle="other"))
    ends = ("DeleteScalingPolicy", "DeregisterScalableTarget", "DeleteAlarms")
    for operation in ends:
        sent = scaled.calls(operation)
        wanted = [one["parameters"] for one in shown if one["operation"] == operation]
        assert len(sent) == len(wanted) > 0
    both = typed("deploy", write_deployment(tmp_path, SCALING + ALARMS), "--update", "--show")
    assert not set(ends) & {one["operation"] for one in json.loads(both.stdout)}


def test_who_has_no_scaling_and_no_alarms_needs_no_right_to_look_for_them(aws_here, tmp_path):
    put_bucket(aws_here)
    path = write_deployment(tmp_path)
    deploy(path)

    def denied(_):
        raise Refusal("AccessDeniedException", "not authorized")

    aws_here.answer("DescribeScalableTargets", denied)
    assert "nothing was changed" in deploy(path)

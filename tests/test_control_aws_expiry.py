"""An endpoint whose time is over: what its schedules delete, and whether their role may do that.

moto keeps schedules and never acts on them: the test does, as AWS's documentation has it.
"""

import json
import re

import pytest
from access import statements
from aws_gate import allows
from aws_needs import ACCOUNT, REGION, Asked, Need, needs
from aws_world import no_provisioned
from endpoints import Updates, put_bucket, typed, write_deployment
from scaled import alarms_of, make_endpoint, policies_of, targets_of

from control.aws.account import Account
from control.aws.scaling.ending import alarm_ends
from control.cli import main

SCALED = """
[scaling]
min = 1
max = 3
invocations_per_instance = 10
[update]
alarms = "auto"
"""
FROM_ZERO = """
[asynchronous]
output = "s3://models/answers"
[scaling]
min = 0
max = 2
backlog_per_instance = 5
"""
KIND = 'kind = "asynchronous"'
WAKING = "kennel-dogs-waking.main"
DEREGISTER = "application-autoscaling:DeregisterScalableTarget"


def let_time_pass(aws, role):
    """Every schedule does its work, as somebody who may do what the statements `role` allow."""
    scheduler = aws.client("scheduler")
    for one in scheduler.list_schedules()["Schedules"]:
        target = scheduler.get_schedule(Name=one["Name"])["Target"]
        service, action = target["Arn"].split(":aws-sdk:")[1].split(":")
        operation, parameters = action[0].upper() + action[1:], json.loads(target["Input"])
        asked = Asked(service=service, operation=operation, parameters=parameters, path="/")
        for need in needs(asked):
            check(role, need)
        if operation == "DeleteEndpoint":
            take_scaling_off(aws, role, parameters["EndpointName"])
        client = aws.client(service)
        method = {api: name for name, api in client.meta.method_to_api_mapping.items()}[operation]
        getattr(client, method)(**parameters)
        scheduler.delete_schedule(Name=one["Name"])


def take_scaling_off(aws, role, endpoint):
    """As AWS does with an endpoint that goes, for whoever may; nobody else deletes a scaled one.

    Source: SageMaker developer guide, Delete endpoints configured for auto scaling; Application
    Auto Scaling API reference, DeregisterScalableTarget: policies go, and alarms of tracking ones.
    """
    client = aws.client("application-autoscaling")
    keys = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    for one in targets_of(aws):
        target = {key: one[key] for key in keys}
        assert target["ResourceId"].startswith(f"endpoint/{endpoint}/variant/")
        arn = f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/0abc"
        context = {"application-autoscaling:service-namespace": "sagemaker"}
        check(role, Need(action=DEREGISTER, resource=arn, context=context))
        for policy in policies_of(aws):
            client.delete_scaling_policy(PolicyName=policy["PolicyName"], **target)
        client.deregister_scalable_target(**target)


def check(role, need):
    context = {**need.context, "aws:RequestedRegion": REGION}
    assert any(allows(one, need, context) for one in role), need


def left_of(aws):
    """What of the endpoint goes on to cost, or to look after nothing."""
    alarms = aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    schedules = aws.client("scheduler").list_schedules()["Schedules"]
    endpoints = aws.client("sagemaker").list_endpoints()["Endpoints"]
    return [*targets_of(aws), *policies_of(aws), *alarms, *schedules, *endpoints]


def test_scaling_and_alarms_end_with_a_scaled_endpoint(aws_here, tmp_path):
    put_bucket(aws_here)
    for more, top, count in ((SCALED, "", 2), (FROM_ZERO, 'kind = "asynchronous"', 1)):
        file = write_deployment(tmp_path, more, top=top)
        done = typed("deploy", file, "--yes")
        assert done.returncode == 0, done.stderr
        assert len(alarms_of(aws_here)) == count
        assert targets_of(aws_here)
        let_time_pass(aws_here, statements(file, of=["expiry"]))
        assert left_of(aws_here) == []


def test_an_endpoint_without_alarms_has_one_schedule(aws_here, tmp_path):
    put_bucket(aws_here)
    file = write_deployment(tmp_path)
    assert typed("deploy", file, "--yes").returncode == 0
    assert schedules_of(aws_here) == ["kennel-endpoint-dogs"]
    let_time_pass(aws_here, statements(file, of=["expiry"]))
    assert left_of(aws_here) == []


def schedules_of(aws):
    return [one["Name"] for one in aws.client("scheduler").list_schedules()["Schedules"]]


def test_both_schedules_move_end_and_are_found_by_their_endpoint(aws_here, tmp_path, capsys):
    no_provisioned(aws_here)
    put_bucket(aws_here)
    Updates(aws_here)
    both = ["kennel-alarms-dogs", "kennel-endpoint-dogs"]
    assert typed("deploy", write_deployment(tmp_path, SCALED), "--yes").returncode == 0
    assert sorted(schedules_of(aws_here)) == both
    client = aws_here.client("scheduler")
    later = write_deployment(tmp_path, SCALED, top="ttl_hours = 9")
    assert typed("deploy", later, "--yes").returncode == 0
    times = {client.get_schedule(Name=name)["ScheduleExpression"] for name in both}
    assert len(times) == 1
    assert main(["list", "--cost", "-o", "json"]) == 0
    things = json.loads(capsys.readouterr().out)["things"]
    told = {one["id"]: (one["name"], one["what"]) for one in things if one["kind"] == "schedule"}
    assert told == {
        "kennel-endpoint-dogs": ("dogs", "deletes endpoint dogs"),
        "kennel-alarms-dogs": ("dogs", "deletes alarms of endpoint dogs"),
    }
    never = write_deployment(tmp_path, SCALED, top="ttl_hours = 0")
    assert typed("deploy", never, "--yes").returncode == 0
    assert schedules_of(aws_here) == []


def test_cleanup_takes_both_schedules(aws_here, tmp_path):
    no_provisioned(aws_here)
    put_bucket(aws_here)
    assert typed("deploy", write_deployment(tmp_path, SCALED), "--yes").returncode == 0
    assert main(["cleanup", "dogs", "--yes"]) == 0
    assert left_of(aws_here) == []


def test_a_creation_that_fails_leaves_no_schedule(aws_here, tmp_path):
    put_bucket(aws_here)
    aws_here.stages("DescribeEndpoint", {"EndpointStatus": "Failed", "FailureReason": "no"})
    assert typed("deploy", write_deployment(tmp_path, SCALED), "--yes").returncode == 1
    assert schedules_of(aws_here) == []


def alarms_that_end(aws):
    """Those that the schedule deletes; none without one."""
    if "kennel-alarms-dogs" not in schedules_of(aws):
        return []
    client = aws.client("scheduler")
    target = client.get_schedule(Name="kennel-alarms-dogs")["Target"]
    return json.loads(target["Input"])["AlarmNames"]


@pytest.mark.parametrize("by_name", [True, False])
def test_what_wakes_an_endpoint_ends_with_it_when_scaling_alone_changes(
    aws_here, tmp_path, by_name
):
    put_bucket(aws_here)
    from_one = FROM_ZERO.replace("min = 0", "min = 1")
    file = write_deployment(tmp_path, from_one, top=KIND)
    assert typed("deploy", file, "--yes").returncode == 0
    assert (alarms_that_end(aws_here), alarms_of(aws_here)) == ([], [])

    def scale(least):
        if not by_name:
            more = FROM_ZERO.replace("min = 0", f"min = {least}")
            return typed("deploy", write_deployment(tmp_path, more, top=KIND), "--yes")
        words = ("scale", "apply", "dogs", "--min", least, "--max", 2, "--backlog-per-instance", 5)
        shown = json.loads(typed(*words, "--show").stdout)
        aws_here.forget()
        done = typed(*words, "--yes")
        of_schedules = [one for one in shown if one["service"] == "scheduler"]
        assert len(of_schedules) == 1
        for one in of_schedules:
            assert len(aws_here.calls(one["operation"])) == 1
        return done

    for least, ending in ((0, [WAKING]), (1, []), (0, [WAKING])):
        done = scale(least)
        assert done.returncode == 0, done.stderr
        assert "it stays" not in done.stdout
        assert alarms_that_end(aws_here) == ending
    let_time_pass(aws_here, statements(file, of=["expiry"]))
    assert left_of(aws_here) == []


def test_what_wakes_an_endpoint_joins_its_other_alarms_and_leaves_them(aws_here, tmp_path):
    put_bucket(aws_here)
    file = write_deployment(tmp_path, SCALED)
    assert typed("deploy", file, "--yes").returncode == 0
    others = alarms_that_end(aws_here)
    calls, why = alarm_ends(Account(), "dogs", ["main"], is_waking=True)
    assert why == ""
    for call in calls:
        Account().send(call)
    assert alarms_that_end(aws_here) == [*others, WAKING]
    (call,), _ = alarm_ends(Account(), "dogs", ["main"], is_waking=False)
    Account().send(call)
    assert alarms_that_end(aws_here) == others


def test_undone_scaling_takes_its_alarm_out_of_the_schedule(aws_here, tmp_path):
    put_bucket(aws_here)
    assert typed("deploy", write_deployment(tmp_path, FROM_ZERO, top=KIND), "--yes").returncode == 0
    assert alarms_that_end(aws_here) == [WAKING]
    shown = json.loads(typed("scale", "undo", "dogs", "--show").stdout)
    assert shown[-1]["operation"] == "DeleteSchedule"
    assert typed("scale", "undo", "dogs").returncode == 0
    assert schedules_of(aws_here) == ["kennel-endpoint-dogs"]


def test_who_may_see_no_schedule_hears_that_the_alarm_stays(aws_here):
    make_endpoint(aws_here, AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://b/out"}})
    aws_here.fail("GetSchedule", "AccessDeniedException", "not authorized", status=403)
    words = ("scale", "apply", "dogs", "--min", 0, "--max", 2, "--backlog-per-instance", 5, "--yes")
    done = typed(*words)
    assert done.returncode == 0, done.stderr
    assert "note:    what wakes it stays when the endpoint ends: " in done.stdout
    assert "`kennel cleanup dogs` removes it" in done.stdout


def test_scaling_costs_no_longer_than_its_endpoint_lives(aws_here, tmp_path):
    put_bucket(aws_here)
    words = ("scale", "apply", "dogs", "--max", "3", "--invocations-per-instance", "60", "--yes")
    assert typed("deploy", write_deployment(tmp_path), "--yes").returncode == 0
    said = typed(*words).stdout  # four hours, less the time since `deploy` in whole minutes
    assert re.search(r"\$0\.345 an hour, at most (4 h 00|3 h 5\d) min, at most \$1\.3", said), said
    aws_here.fail("GetSchedule", "AccessDeniedException", "not authorized", status=403)
    assert "$0.345 an hour, until it is deleted" in typed(*words).stdout
    aws_here.client("scheduler").delete_schedule(Name="kennel-endpoint-dogs")
    assert "$0.345 an hour, until it is deleted" in typed(*words).stdout


def test_scaling_that_is_put_on_by_name_ends_with_the_endpoint_too(aws_here):
    make_endpoint(aws_here)
    words = ("scale", "apply", "dogs", "--max", "3", "--invocations-per-instance", "60", "--yes")
    assert main(list(words)) == 0
    take_scaling_off(aws_here, statements("--prefix", "dogs", of=["expiry"]), "dogs")
    assert (targets_of(aws_here), policies_of(aws_here)) == ([], [])

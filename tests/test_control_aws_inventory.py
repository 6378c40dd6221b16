"""`kennel list --cost`: what is ours in an account, what it costs, and what is a stranger's."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aws_world import (
    THEIRS,
    no_provisioned,
    put_alarm,
    put_endpoint,
    put_function,
    put_instance,
    put_log_group,
    put_scaling,
    put_training,
    tags,
)

from control.aws.house.cost_text import cost_json, cost_text
from control.aws.house.found import Found, dollars, expiry, size
from control.aws.house.inventory import Gap, Inventory, attributed
from control.cli import main

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def found(kind, id, **more):
    """One thing of ours unless told otherwise."""
    return Found(kind=kind, id=id, **{"name": "dogs", **more})


def costs(capsys):
    """The document of `kennel list --cost -o json` and the exit code."""
    code = main(["list", "--cost", "-o", "json"])
    return code, json.loads(capsys.readouterr().out)


def test_everything_of_ours_is_found_with_its_price_and_its_end(aws_here, capsys):
    no_provisioned(
        aws_here,
        {
            "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:front:live",
            "RequestedProvisionedConcurrentExecutions": 2,
        },
    )
    put_endpoint(aws_here, "dogs", count=2)
    put_scaling(aws_here, "dogs")
    put_alarm(aws_here, "kennel-dogs-errors", "dogs")
    put_log_group(aws_here, "/aws/sagemaker/Endpoints/dogs")
    put_function(aws_here, "front", memory_mb=512)
    instance = put_instance(aws_here, "cats")
    put_training(aws_here, "dogs-20261128-051500", count=2)
    code, document = costs(capsys)
    assert code == 0, document["not_listed"]
    things = {(one["kind"], one["id"]): one for one in document["things"]}
    assert things["endpoint", "dogs"]["usd_per_hour"] == pytest.approx(2 * 0.115)
    assert things["endpoint", "dogs"]["usd_until_it_ends"] == pytest.approx(4 * 0.23, rel=0.01)
    job = things["training job", "dogs-20261128-051500"]
    assert job["usd_so_far"] == pytest.approx(2 * 0.7364, rel=0.01)  # one hour
    assert job["usd_until_it_ends"] == pytest.approx(2 * 0.7364, rel=0.01)  # of two
    assert things["instance", instance]["usd_per_hour"] == 0.526
    ready = things["function", "front"]["usd_per_hour"]
    assert ready == pytest.approx(2 * 0.5 * 0.0000041667 * 3600)
    for key in (
        ("endpoint config", "dogs-config"),
        ("model", "dogs-model"),
        ("schedule", "kennel-endpoint-dogs"),
        ("scaling policy", "kennel-tracking"),
        ("scaling target", "endpoint/dogs/variant/main"),
        ("log group", "/aws/sagemaker/Endpoints/dogs"),
        ("alarm", "kennel-dogs-errors"),
    ):
        assert things[key]["name"] == "dogs"
    assert things["log group", "/aws/lambda/front"]["name"] == "front"
    hourly = 0.23 + 2 * 0.7364 + 0.526 + ready + 0.1 / 730
    assert document["usd_per_hour"] == pytest.approx(hourly)
    assert (document["region"], document["account"]) == ("us-east-1", "123456789012")
    assert (document["untagged"], document["not_listed"]) == ([], [])


def test_strangers_things_are_not_listed_and_ours_without_a_tag_stand_apart(aws_here, capsys):
    no_provisioned(aws_here)
    put_endpoint(aws_here, "theirs", is_ours=False, image=THEIRS)
    put_scaling(aws_here, "theirs")
    put_log_group(aws_here, "/aws/sagemaker/Endpoints/theirs")
    put_alarm(aws_here, "by-hand", "theirs", is_ours=False)
    put_function(aws_here, "theirs", is_ours=False)
    put_endpoint(aws_here, "lost", is_ours=False)  # our image, no tag
    code, document = costs(capsys)
    assert code == 0
    assert document["things"] == []
    assert [(one["kind"], one["id"]) for one in document["untagged"]] == [
        ("endpoint", "lost"),
        ("model", "lost-model"),
    ]
    assert main(["list", "--cost"]) == 0
    shown = capsys.readouterr().out
    assert "untagged endpoint lost: 2 x ml.m5.large, $0.230 an hour" in shown
    assert "theirs" not in shown


def test_a_service_that_refuses_is_a_gap_and_not_an_empty_list(aws_here, capsys):
    no_provisioned(aws_here)
    put_endpoint(aws_here, "dogs")
    denied = "User: arn:aws:iam::1:user/x is not authorized to perform: ec2:DescribeInstances"
    aws_here.fail("DescribeInstances", "UnauthorizedOperation", denied, status=403)
    code, document = costs(capsys)
    assert code == 1
    assert [one["what"] for one in document["not_listed"]] == ["EC2 instances"]
    assert "ec2:DescribeInstances" in document["not_listed"][0]["why"]
    assert [one["id"] for one in document["things"] if one["kind"] == "endpoint"] == ["dogs"]


@pytest.mark.parametrize("operation", ["ListProvisionedConcurrencyConfigs", "GetFunctionUrlConfig"])
def test_a_question_about_a_function_that_is_refused_hides_no_function(aws_here, capsys, operation):
    no_provisioned(aws_here)
    put_function(aws_here, "front", memory_mb=512)
    aws_here.fail(operation, "AccessDeniedException", "no", status=403, times=3)
    code, document = costs(capsys)
    assert (code, document["not_listed"]) == (0, [])
    (function,) = (one for one in document["things"] if one["kind"] == "function")
    knows_kept = operation == "GetFunctionUrlConfig"
    assert function["usd_per_hour"] == (0.0 if knows_kept else None)
    assert ("cannot tell what is kept ready" in function["what"]) is not knows_kept
    assert main(["list", "--cost"]) == 0
    assert ("unknown" in capsys.readouterr().out) is not knows_kept
    assert main(["cleanup", "front", "--yes"]) == 0
    assert aws_here.client("lambda").list_functions()["Functions"] == []


def test_throttled_listings_are_asked_again(aws_here, capsys):
    no_provisioned(aws_here)
    put_endpoint(aws_here, "dogs")
    aws_here.fail("ListTags", "ThrottlingException", "Rate exceeded", times=3)
    code, document = costs(capsys)
    assert code == 0
    assert "dogs" in [one["id"] for one in document["things"]]


def test_two_hundred_models_are_listed_page_by_page(aws_here, capsys):
    no_provisioned(aws_here)
    client = aws_here.client("sagemaker")
    for number in range(120):
        client.create_model(
            ModelName=f"dogs-{number}",
            ExecutionRoleArn="arn:aws:iam::123456789012:role/kennel-endpoint",
            PrimaryContainer={"Image": THEIRS, "ModelDataUrl": "s3://models/dogs.tar.gz"},
            Tags=tags("dogs").as_list(),
        )
    _, document = costs(capsys)
    assert sum(one["kind"] == "model" for one in document["things"]) == 120


def test_without_credentials_it_is_one_line(aws):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del aws.environment[name]
    done = aws.kennel("list", "--cost")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "aws configure" in done.stderr


def test_the_table_says_what_costs_most_first_and_what_never_ends():
    endless = found("endpoint", "b", what="1 x ml.m5.large", per_hour=0.115, since=NOW)
    ending = replace(
        endless,
        id="a",
        per_hour=7.09,
        since=NOW - timedelta(hours=2),
        expires=NOW + timedelta(hours=3),
    )
    model = found("model", "m")
    shown = cost_text(Inventory(ours=[endless, model, ending]), "us-east-1", "1", NOW)
    assert shown.index("endpoint a") < shown.index("endpoint b")
    assert "$7.090   $14.18  $21.27 in 3 h 00 min" in shown
    assert "nothing ends by itself: endpoint b" in shown
    assert "besides: dogs: 1 model" in shown
    assert "total:   $7.205 an hour, $14.18 so far" in shown
    document = cost_json(Inventory(ours=[endless, model, ending]), "us-east-1", "1", NOW)
    assert document["usd_until_all_ended"] == pytest.approx(3 * 7.09)


def test_what_costs_nothing_alone_has_a_line_for_each_name():
    things = [found("model", "m"), found("model", "n"), found("log group", "l", name="cats")]
    shown = cost_text(Inventory(ours=things), "us-east-1", "1", NOW).splitlines()
    assert shown[-3:-1] == ["besides: cats: 1 log group", "         dogs: 2 models"]


def test_an_instance_ends_with_its_job():
    one = found("instance", "i", per_hour=0.5, since=NOW, ends_itself=True)
    shown = cost_text(Inventory(ours=[one]), "r", "1", NOW)
    assert "when its job ends" in shown
    assert "nothing ends" not in shown


def test_an_end_that_no_schedule_brings_is_said_unless_nobody_may_look():
    ending = found("endpoint", "a", per_hour=1.0, since=NOW, expires=NOW + timedelta(hours=1))
    schedule = found("schedule", "s", about={"endpoint": "a"})
    says = "no schedule deletes endpoint a"
    assert says in cost_text(Inventory(ours=[ending]), "r", "1", NOW)
    assert says not in cost_text(Inventory(ours=[ending, schedule]), "r", "1", NOW)
    gap = Gap(what="schedules", why="AccessDenied")
    assert says not in cost_text(Inventory(ours=[ending], gaps=[gap]), "r", "1", NOW)


def test_what_should_be_gone_is_said():
    late = found("endpoint", "a", per_hour=1.0, expires=NOW - timedelta(hours=1), since=NOW)
    assert "late:    a: delete it by hand" in cost_text(Inventory(ours=[late]), "r", "1", NOW)
    assert late.until_it_ends(NOW) == 0


def test_a_thing_without_a_price_is_billed_at_an_unknown_one():
    one = found("endpoint", "a", what="1 x ml.x9.large", per_hour=None, since=NOW)
    assert one.is_billed
    assert one.so_far(NOW) is None
    shown = cost_text(Inventory(ours=[one]), "r", "1", NOW)
    assert "without what has no price in the table: 1 x ml.x9.large" in shown


def test_a_half_gone_endpoints_leavings_are_ours_and_a_strangers_are_not():
    config = found("endpoint config", "c")
    policy = found("scaling policy", "p", name="", about={"endpoint": "dogs"})
    logs = found("log group", "l", name="", about={"endpoint": "dogs"})
    of_function = found("log group", "f", name="", about={"function": "dogs"})
    stranger = found("endpoint", "dogs", name="", about={"endpoint": "dogs", "is_strange": True})
    ours = attributed([config, policy, logs, of_function])
    assert [one.id for one in ours if one.name == "dogs"] == ["c", "p", "l"]
    assert [one.id for one in attributed([config, policy, logs, of_function, stranger])] == ["c"]


def test_an_expiry_that_cannot_be_read_counts_as_never():
    assert expiry({"kennel:expires": "soon"}) is None
    assert expiry({"kennel:expires": "2026-11-28T12:00:00+00:00"}) == NOW


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unknown"),
        (0.0, "$0.00"),
        (0.00014, "$0.0001"),
        (0.23, "$0.230"),
        (1234.5, "$1,234.50"),
    ],
)
def test_dollars_have_the_digits_that_they_need(amount, text):
    assert dollars(amount) == text


def test_sizes_are_in_words():
    assert [size(1), size(1500), size(45_200_000), size(2_000_000_000)] == [
        "1 bytes",
        "1.5 KB",
        "45.2 MB",
        "2.0 GB",
    ]

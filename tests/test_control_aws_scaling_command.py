"""`kennel scale`: what it sends to AWS, what it says, and what it refuses."""

import json
from datetime import UTC, datetime

import pytest
from plans import check_plan, validate
from scaled import alarms_of, make_endpoint, policies_of, targets_of
from serving import REPOSITORY, colour_bundle

from contract.errors import RequestError
from control.aws.prices import price_per_hour
from control.aws.scaling.throughput import measure, usual_picture
from control.cli import main

JOBS = REPOSITORY / "jobs"
POLICY = ("--max", "3", "--invocations-per-instance", "600")


WARM = 'kind = "serverless"\nbundle = "s3://m/model.tar.gz"\nserverless.provisioned_concurrency = 1'


def kennel(*words):
    return main(["scale", *map(str, words)])


def test_apply_registers_every_variant_and_again_changes_it(aws_here, capsys):
    make_endpoint(aws_here, variants=("old", "new"))
    assert kennel("apply", "dogs", *POLICY, "--yes") == 0
    assert kennel("apply", "dogs", "--min", 2, *POLICY, "--yes") == 0
    found = {
        one["ResourceId"]: (one["MinCapacity"], one["MaxCapacity"]) for one in targets_of(aws_here)
    }
    assert found == {
        "endpoint/dogs/variant/old": (2, 3),
        "endpoint/dogs/variant/new": (2, 3),
    }
    assert len(policies_of(aws_here)) == 2
    # AWS takes tags with a new target only.
    tagged = ["Tags" in one for one in aws_here.calls("RegisterScalableTarget")]
    assert tagged == [True, True, False, False]
    assert capsys.readouterr().out.splitlines()[-1] == "next:    kennel scale show dogs"


def test_what_is_shown_is_what_is_sent(aws_here, capsys):
    make_endpoint(aws_here)
    assert kennel("apply", "dogs", *POLICY, "--show") == 0
    shown = json.loads(capsys.readouterr().out)
    assert targets_of(aws_here) == []
    aws_here.forget()
    assert kennel("apply", "dogs", *POLICY, "--yes") == 0
    for one in shown:
        validate(one["service"], one["operation"], one["parameters"])
        assert one["parameters"] in aws_here.calls(one["operation"])


def test_show_needs_no_aws_when_everything_is_said(monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    words = ("--kind", "real-time", "--variant", "main", "--show")
    assert kennel("apply", "dogs", *POLICY, *words) == 0
    assert kennel("undo", "dogs", *words) == 0
    assert "DeregisterScalableTarget" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["dogs_endpoint", "dogs_async"])
def test_the_example_files_scale_without_asking_aws(name, capsys):
    assert kennel("apply", JOBS / f"{name}.toml", "--show") == 0
    check_plan(f"scale_{name}", json.loads(capsys.readouterr().out))


def test_flags_beat_the_file_and_the_other_metric_goes(capsys):
    words = ("--max", "9", "--concurrent-requests-per-model", "4", "--show")
    assert kennel("apply", JOBS / "dogs_endpoint.toml", *words) == 0
    target, policy = json.loads(capsys.readouterr().out)
    assert (target["parameters"]["MinCapacity"], target["parameters"]["MaxCapacity"]) == (2, 9)
    tracking = policy["parameters"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 4
    assert "HighResolution" in json.dumps(tracking)


def test_a_trace_is_played_against_the_policy_and_price_of_a_deployment(tmp_path, capsys):
    trace = tmp_path / "traffic.csv"
    trace.write_text("seconds,requests_per_second\n0,1\n1800,30\n3600,1\n5400,1\n")
    file = ("--deployment", JOBS / "dogs_endpoint.toml", "--images-per-second", 20)
    assert kennel("simulate", trace, *file, "--out", tmp_path / "a.html", "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    hours = told["findings"]["instance_hours"]
    assert told["findings"]["usd"] == pytest.approx(
        hours * price_per_hour("ml.m5.large", "hosting")
    )
    # 30 a second are 1,800 a minute: 3 instances at 600.
    assert [(one["before"], one["after"]) for one in told["changes"]] == [(2, 3), (3, 2)]


def test_without_yes_nothing_is_sent_and_the_price_is_said(aws_here, capsys):
    make_endpoint(aws_here)
    assert kennel("apply", "dogs", *POLICY) == 2
    told = capsys.readouterr()
    assert "3 x ml.m5.large" in told.out
    assert "--yes" in told.err
    assert targets_of(aws_here) == []


def test_the_alarm_from_zero_starts_the_policy_that_aws_answered(aws_here):
    output = {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}
    make_endpoint(aws_here, AsyncInferenceConfig=output)
    assert (
        kennel("apply", "dogs", "--min", 0, "--max", 2, "--backlog-per-instance", 5, "--yes") == 0
    )
    (alarm,) = alarms_of(aws_here)
    (waking,) = [one for one in policies_of(aws_here) if one["PolicyType"] == "StepScaling"]
    assert alarm["AlarmActions"] == [waking["PolicyARN"]]
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    # An instance at least: nothing need be woken; and again, when nothing is left to delete.
    for _ in range(2):
        assert kennel("apply", "dogs", "--max", 2, "--backlog-per-instance", 5, "--yes") == 0
    assert alarms_of(aws_here) == []
    assert [one["PolicyType"] for one in policies_of(aws_here)] == ["TargetTrackingScaling"]


def test_undo_takes_all_of_it_away_and_twice_is_fine(aws_here, capsys):
    output = {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}
    make_endpoint(aws_here, AsyncInferenceConfig=output)
    assert (
        kennel("apply", "dogs", "--min", 0, "--max", 2, "--backlog-per-instance", 5, "--yes") == 0
    )
    capsys.readouterr()
    assert kennel("undo", "dogs") == 0
    assert "dogs, variant main" in capsys.readouterr().out
    assert (targets_of(aws_here), policies_of(aws_here), alarms_of(aws_here)) == ([], [], [])
    assert kennel("undo", "dogs") == 0
    assert "not scaled" in capsys.readouterr().out


def test_undo_finishes_when_the_endpoint_is_gone_and_half_is_undone(aws_here):
    make_endpoint(aws_here)
    assert kennel("apply", "dogs", *POLICY, "--yes") == 0
    aws_here.client("application-autoscaling").delete_scaling_policy(
        PolicyName="kennel-tracking",
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/dogs/variant/main",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
    )
    aws_here.client("sagemaker").delete_endpoint(EndpointName="dogs")
    assert kennel("undo", "dogs") == 0
    assert targets_of(aws_here) == []


def test_undo_of_a_name_that_nothing_has_is_no_success(aws_here, capsys):
    assert kennel("undo", "dogs") == 2
    assert "there is no endpoint dogs in us-east-1, and no other" in capsys.readouterr().err
    for name in ("dogs", "cats"):
        make_endpoint(aws_here, name)
    assert kennel("undo", "dgos") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no endpoint dgos in us-east-1; did you mean 'dogs'?" in line
    assert kennel("undo", "x", "--show") == 2
    assert "; there are cats, dogs: `kennel list" in capsys.readouterr().err
    assert kennel("undo", "dogs", "--variant", "mian") == 2
    assert "endpoint dogs has no variant 'mian'; known: main" in capsys.readouterr().err


def test_who_may_not_list_endpoints_is_told_without_their_names(aws_here, capsys):
    make_endpoint(aws_here)
    aws_here.fail("ListEndpoints", "AccessDeniedException", "no", status=403)
    assert kennel("undo", "dgos") == 2
    assert "there is no endpoint dgos in us-east-1: `kennel list" in capsys.readouterr().err


def test_aws_s_own_word_for_what_is_not_registered_is_understood(aws_here, capsys):
    make_endpoint(aws_here)
    told = "No scalable target registered for service namespace: sagemaker"
    for operation in ("DeleteScalingPolicy", "DeregisterScalableTarget"):
        aws_here.fail(operation, "ObjectNotFoundException", told)
    assert kennel("undo", "dogs") == 0
    assert "not scaled" in capsys.readouterr().out


def test_a_refusal_is_one_line_with_the_right_that_is_missing(aws_here, capsys):
    make_endpoint(aws_here)
    action = "application-autoscaling:PutScalingPolicy"
    aws_here.fail(
        "PutScalingPolicy",
        "AccessDeniedException",
        f"User: arn:aws:iam::123456789012:user/a is not authorized to perform: {action} on "
        "resource: arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/*",
    )
    assert kennel("apply", "dogs", *POLICY, "--yes") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f'"{action}"' in line
    assert '"Sid": "Scale"' in line


def test_show_tells_counts_policies_and_what_happened(aws_here, capsys):
    make_endpoint(aws_here)
    assert kennel("apply", "dogs", *POLICY, "--yes") == 0
    activity = {
        "ActivityId": "a",
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/dogs/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "Description": "Setting desired instance count to 3.",
        "Cause": "monitor alarm AlarmHigh in state ALARM triggered policy kennel-tracking",
        "StartTime": datetime(2026, 11, 28, 5, 15, tzinfo=UTC).timestamp(),
        "StatusCode": "Successful",
    }
    aws_here.answer("DescribeScalingActivities", {"ScalingActivities": [activity]})
    capsys.readouterr()
    assert kennel("show", "dogs") == 0
    text = capsys.readouterr().out
    for words in (
        "main, 1 instances now, 1 wanted, 1 to 3",
        "kennel-tracking: SageMakerVariantInvocationsPerInstance = 600",
        "2026-11-28",
        "Setting desired instance count to 3.",
        "next:    kennel scale undo dogs",
    ):
        assert words in text
    assert kennel("show", "dogs", "-o", "json") == 0
    (variant,) = json.loads(capsys.readouterr().out)["variants"]
    assert variant["target"]["MaxCapacity"] == 3
    assert variant["activities"][0]["StatusCode"] == "Successful"


def test_serverless_without_provisioned_concurrency_scales_by_itself(aws_here, capsys):
    make_endpoint(aws_here, ServerlessConfig={"MemorySizeInMB": 2048, "MaxConcurrency": 5})
    assert kennel("apply", "dogs", "--max", 3, "--provisioned-utilization", 0.5, "--yes") == 2
    assert "is scaled by AWS itself" in capsys.readouterr().err


def test_no_more_is_kept_warm_than_may_be_asked_at_a_time(aws_here, tmp_path, capsys):
    config = {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 1}
    make_endpoint(aws_here, ServerlessConfig=config)
    variant = {"VariantName": "main", "CurrentServerlessConfig": config}
    aws_here.stages("DescribeEndpoint", {"ProductionVariants": [variant]})
    file = tmp_path / "dogs.toml"
    file.write_text(WARM)
    words = ("--max", 6, "--provisioned-utilization", 0.5)
    for what in ("dogs", file):
        assert kennel("apply", what, *words, "--yes") == 2
        assert "scaling.max: expected at most max_concurrency, 5, got 6" in capsys.readouterr().err
    assert targets_of(aws_here) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("aply", "dogs"), "did you mean `kennel scale apply`"),
        (("undo", "dogs", "--max", "3"), "takes no --max"),
        (("apply", "dogs", "--peak", "3"), "takes no --peak"),
        (("apply", "dogs", "--max", "3"), "exactly one of"),
        (("apply", "dogs"), "no policy for dogs"),
        (("simulate", "day", *POLICY), "--images-per-second"),
        (("simulate", "day", "--images-per-second", "3"), "no policy"),
        (("simulate", "dya", *POLICY, "--images-per-second", "3"), "did you mean 'day'"),
    ],
)
def test_the_impossible_is_one_line_and_exit_code_2(words, said, capsys):
    assert kennel(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_an_endpoint_that_is_not_there_or_not_ready_is_named(aws_here, capsys):
    assert kennel("apply", "cats", *POLICY, "--yes") == 2
    assert "there is no endpoint cats in us-east-1" in capsys.readouterr().err
    make_endpoint(aws_here)
    aws_here.stages("DescribeEndpoint", {"EndpointStatus": "Updating"})
    assert kennel("apply", "dogs", *POLICY, "--yes") == 1
    assert "dogs is Updating" in capsys.readouterr().err


def test_simulate_writes_a_page_and_says_what_it_found(tmp_path, capsys):
    page = tmp_path / "scaling.html"
    words = ("simulate", "spike", *POLICY, "--images-per-second", 12, "--peak", 30, "--out", page)
    assert kennel(*words, "--instance-type", "ml.m5.large") == 0
    text = capsys.readouterr().out
    assert page.read_text().startswith("<!doctype html>")
    assert text.splitlines()[-1].startswith("next:    kennel scale apply")
    assert "$" in text
    assert kennel(*words, "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["findings"]["seconds"] == 7200
    assert told["page"] == str(page)


def test_a_bundle_is_measured_by_asking_its_own_server():
    found = measure(colour_bundle(), usual_picture(), seconds=1.0)
    # As many as the clients together got, each of which waits for its answer.
    assert 0.2 < found.images_per_second * found.latency_seconds < 2 * found.clients


def test_what_is_no_picture_is_the_server_s_own_refusal():
    with pytest.raises(RequestError) as caught:
        measure(colour_bundle(), b"no picture", seconds=0.2)
    assert 400 <= caught.value.status < 500

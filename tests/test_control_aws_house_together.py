"""The house and what the other commands make: all of it is found, all of it goes."""

import json

from aws_world import no_provisioned, put_log_group
from endpoints import put_bucket, typed, write_deployment
from lambda_account import DEPLOY, make_role

from control.cli import main

SCALED = """
[scaling]
min = 1
max = 3
invocations_per_instance = 10
[update]
alarms = "auto"
"""


def listed(capsys):
    """Kind -> ids of what is ours, and the ids of what has no tag."""
    assert main(["list", "--cost", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    kinds = {}
    for one in document["things"]:
        kinds.setdefault(one["kind"], []).append(one["id"])
    return kinds, [one["id"] for one in document["untagged"]]


def test_what_deploy_makes_is_found_with_all_that_hangs_on_it_and_goes(aws_here, tmp_path, capsys):
    no_provisioned(aws_here)
    put_bucket(aws_here)
    done = typed("deploy", write_deployment(tmp_path, SCALED), "--yes")
    assert done.returncode == 0, done.stderr
    put_log_group(aws_here, "/aws/sagemaker/Endpoints/dogs")  # as SageMaker makes it
    kinds, untagged = listed(capsys)
    assert untagged == []
    assert set(kinds) == {
        *("endpoint", "endpoint config", "model", "schedule", "log group", "alarm"),
        *("scaling policy", "scaling target"),
    }
    assert main(["cleanup", "dogs", "--yes"]) == 0
    capsys.readouterr()
    assert listed(capsys) == ({}, [])
    for service, method, key in (
        ("sagemaker", "list_endpoints", "Endpoints"),
        ("sagemaker", "list_endpoint_configs", "EndpointConfigs"),
        ("sagemaker", "list_models", "Models"),
        ("scheduler", "list_schedules", "Schedules"),
        ("logs", "describe_log_groups", "logGroups"),
    ):
        assert getattr(aws_here.client(service), method)()[key] == []


def test_what_lambda_deploy_makes_is_found_and_goes(aws_here, capsys):
    no_provisioned(aws_here)
    make_role(aws_here)
    done = typed(*DEPLOY, "--url", "--log-days", 7, "--yes")
    assert done.returncode == 0, done.stderr
    kinds, untagged = listed(capsys)
    assert (set(kinds), untagged) == ({"function", "log group"}, [])
    assert main(["cleanup", kinds["function"][0], "--yes"]) == 0
    assert aws_here.client("lambda").list_functions()["Functions"] == []
    assert aws_here.client("logs").describe_log_groups()["logGroups"] == []

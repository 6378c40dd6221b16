"""`kennel lambda deploy`: the function becomes what was typed, whatever was there before."""

import json
import subprocess
import sys

import pytest
from aws_front import ACCOUNT, REGION, Aws
from lambda_account import DEPLOY, ROLE, changes, done, make_endpoints, make_role, provisioning
from plans import check_plan
from serving import REPOSITORY

from control.aws.lambdas.archive import build_archive, sha256_of


@pytest.fixture
def account(aws_here: Aws) -> Aws:
    """Somebody who has the role already."""
    return make_role(aws_here)


def test_what_is_shown_needs_no_account_and_is_what_is_sent(account):
    words = (
        *(*DEPLOY, "--role", ROLE, "--url", "--public", "--provisioned-concurrency", 2),
        *(
            "--reserved-concurrency",
            5,
            "--allow-host",
            "*.example.org",
            "--allow-bucket",
            "my-dogs",
        ),
        *("--allow-origin", "https://dogs.example", "--timeout-seconds", 29, "--log-days", 7),
    )
    bare = {name: text for name, text in account.environment.items() if not name.startswith("AWS_")}
    shown = subprocess.run(
        [sys.executable, "-m", "control", *map(str, words), "--show"],
        env={**bare, "AWS_EC2_METADATA_DISABLED": "true"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    calls = json.loads(shown.stdout)
    assert "for a function that is new" in shown.stderr
    assert not account.seen
    calls[0]["parameters"]["Code"] = {"ZipFile": "(the archive)"}
    check_plan("lambda_deploy", calls)
    provisioning(account, "IN_PROGRESS", "READY")
    done(account, *words, "--yes")
    assert changes(account) == [call["operation"] for call in calls]
    (sent,) = account.calls("CreateFunction")
    assert sent.pop("Code")["ZipFile"]
    first = {**calls[0]["parameters"]}
    first.pop("Code")
    assert sent == first


def test_a_function_is_made_with_its_log_and_its_address(account):
    result = done(account, *DEPLOY, "--url", "--log-days", 14, "--max-bytes", 4_194_304)
    client = account.client("lambda")
    found = client.get_function(FunctionName="dogs")
    made = found["Configuration"]
    assert (made["Handler"], made["Timeout"], made["MemorySize"]) == (
        "lambda_function.handler",
        75,
        512,
    )
    assert made["Environment"]["Variables"] == {
        "ENDPOINT_NAME": "Dogs-1",
        "MAX_BYTES": "4194304",
        "READ_SECONDS": "65",
    }
    assert made["CodeSha256"] == sha256_of(build_archive())
    assert found["Tags"]["kennel:name"] == "dogs"
    assert found["Tags"]["kennel:kind"] == "lambda"
    address = client.get_function_url_config(FunctionName="dogs")
    assert address["AuthType"] == "AWS_IAM"
    assert not address.get("Cors")
    assert address["FunctionUrl"] in result.stdout
    (group,) = account.client("logs").describe_log_groups()["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == ("/aws/lambda/dogs", 14)
    assert "cost:    nothing while nobody asks" in result.stdout
    assert result.stdout.strip().splitlines()[-1].split() == ["kennel", "lambda", "delete", "dogs"]


def test_the_same_command_again_changes_nothing_and_another_changes_what_differs(account):
    done(account, *DEPLOY)
    again = json.loads(done(account, *DEPLOY, "-o", "json").stdout)
    assert again["change"] == "unchanged"
    assert set(changes(account)) == {"CreateLogGroup", "PutRetentionPolicy"}
    done(account, *DEPLOY, "--memory-mb", 1024)
    assert [one for one in changes(account) if one.startswith("Update")] == [
        "UpdateFunctionConfiguration"
    ]
    client = account.client("lambda")
    assert client.get_function_configuration(FunctionName="dogs")["MemorySize"] == 1024
    client.update_function_code(FunctionName="dogs", ZipFile=b"another")
    done(account, *DEPLOY, "--memory-mb", 1024)
    assert [one for one in changes(account) if one.startswith("Update")] == ["UpdateFunctionCode"]
    found = client.get_function_configuration(FunctionName="dogs")
    assert found["CodeSha256"] == sha256_of(build_archive())


def test_what_is_not_asked_for_again_is_taken_away(account):
    provisioning(account, "READY")
    done(
        *(account, *DEPLOY, "--url", "--public", "--provisioned-concurrency", 2),
        *("--reserved-concurrency", 4, "--yes"),
    )
    client = account.client("lambda")
    assert client.get_alias(FunctionName="dogs", Name="live")["FunctionVersion"] == "1"
    result = done(account, *DEPLOY)
    assert "ended:   provisioned concurrency" in result.stdout
    assert "nothing was changed" not in result.stdout
    gone = {"DeleteProvisionedConcurrencyConfig", "DeleteAlias", "DeleteFunctionUrlConfig"}
    assert gone | {"DeleteFunctionConcurrency", "RemovePermission"} <= set(changes(account))
    assert client.list_aliases(FunctionName="dogs")["Aliases"] == []
    assert "Concurrency" not in client.get_function(FunctionName="dogs")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function_url_config(FunctionName="dogs")


def test_an_address_that_is_taken_away_is_said(account):
    done(account, *DEPLOY, "--url")
    assert "ended:   its address" in done(account, *DEPLOY).stdout
    assert "ended:" not in done(account, *DEPLOY).stdout


def test_an_address_becomes_public_and_private_again(account):
    done(account, *DEPLOY, "--url")
    refused = done(account, *DEPLOY, "--url", "--public", code=2)
    assert "add --yes" in refused.stderr
    assert changes(account) == []
    done(account, *DEPLOY, "--url", "--public", "--yes")
    client = account.client("lambda")
    policy = json.loads(client.get_policy(FunctionName="dogs")["Policy"])
    assert {one["Action"] for one in policy["Statement"]} == {
        "lambda:InvokeFunctionUrl",
        "lambda:InvokeFunction",
    }
    assert client.get_function_url_config(FunctionName="dogs")["AuthType"] == "NONE"
    account.fail("AddPermission", "ResourceConflictException", "it exists", status=409, times=2)
    done(account, *DEPLOY, "--url", "--public", "--yes")
    done(account, *DEPLOY, "--url")
    assert client.get_function_url_config(FunctionName="dogs")["AuthType"] == "AWS_IAM"
    assert changes(account).count("RemovePermission") == 2


def test_provisioned_concurrency_is_priced_agreed_to_and_waited_for(account):
    words = (*DEPLOY, "--provisioned-concurrency", 2, "--memory-mb", 1024)
    refused = done(account, *words, code=2)
    assert "add --yes" in refused.stderr
    assert changes(account) == []
    # 2 x 1 GB x 3600 s x $0.0000041667
    assert "$0.030 an hour" in refused.stdout
    provisioning(account, "IN_PROGRESS", "IN_PROGRESS", "READY")
    result = done(account, *words, "--yes")
    assert (
        len([one for one in account.seen if one.operation == "GetProvisionedConcurrencyConfig"])
        == 3
    )
    assert "version 1" in result.stdout
    done(account, *words, "--yes")
    assert not {"UpdateAlias", "PutProvisionedConcurrencyConfig"} & set(changes(account))
    account.client("lambda").update_function_configuration(FunctionName="dogs", Timeout=30)
    done(account, *words, "--yes")
    alias = account.client("lambda").get_alias(FunctionName="dogs", Name="live")
    assert alias["FunctionVersion"] == "2"
    done(account, *DEPLOY, "--provisioned-concurrency", 3, "--yes")
    assert "PutProvisionedConcurrencyConfig" in changes(account)
    provisioning(account, "FAILED")
    failed = done(account, *words, "--yes", code=1)
    assert "AWS says: why" in failed.stderr


def test_a_role_is_made_with_the_least_that_the_function_needs(aws_here):
    make_endpoints(aws_here)
    words = (*DEPLOY, "--create-role", "--allow-bucket", "my-dogs")
    check_plan("lambda_role", json.loads(done(aws_here, *words, "--show").stdout)[:2])
    result = done(aws_here, *words)
    assert "role:    kennel-lambda was made" in result.stdout
    iam = aws_here.client("iam")
    role = iam.get_role(RoleName="kennel-lambda")["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    policy = iam.get_role_policy(RoleName="kennel-lambda", PolicyName="kennel-dogs")[
        "PolicyDocument"
    ]
    allowed = {action: one["Resource"] for one in policy["Statement"] for action in one["Action"]}
    where = f"{REGION}:{ACCOUNT}"
    log = [f"arn:aws:logs:{where}:log-group:/aws/lambda/dogs:*"]
    assert allowed == {
        "sagemaker:InvokeEndpoint": [f"arn:aws:sagemaker:{where}:endpoint/dogs-1"],
        "logs:CreateLogStream": log,
        "logs:PutLogEvents": log,
        "s3:GetObject": ["arn:aws:s3:::my-dogs/*"],
    }
    done(aws_here, *words)
    assert "CreateRole" not in changes(aws_here)


def test_a_deletion_is_scheduled_and_called_off(account):
    made = done(account, *DEPLOY, "--ttl-hours", 2)
    scheduler = account.client("scheduler")
    (schedule,) = scheduler.list_schedules()["Schedules"]
    assert schedule["Name"] == "kennel-function-dogs"
    (until,) = [line for line in made.stdout.splitlines() if line.startswith("expires: ")]
    at = scheduler.get_schedule(Name=schedule["Name"])["ScheduleExpression"]
    assert at == f"at({until[9:].removesuffix('+00:00')})"
    client = account.client("lambda")
    assert "kennel:expires" in client.get_function(FunctionName="dogs")["Tags"]
    ended = done(account, *DEPLOY)
    assert "ended:   its scheduled deletion" in ended.stdout
    assert account.client("scheduler").list_schedules()["Schedules"] == []
    assert (
        "kennel:expires" not in account.client("lambda").get_function(FunctionName="dogs")["Tags"]
    )


def test_a_new_function_is_not_ended_by_the_schedule_of_an_earlier_one(account):
    done(account, *DEPLOY, "--ttl-hours", 2)
    account.client("lambda").delete_function(FunctionName="dogs")
    done(account, *DEPLOY)
    assert account.client("scheduler").list_schedules()["Schedules"] == []

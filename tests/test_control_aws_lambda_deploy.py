"""`kennel lambda deploy`: the function becomes what was typed, whatever was there before."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain, repeat

import pytest
from aws_front import ACCOUNT, REGION, Aws
from plans import check_plan
from serving import REPOSITORY

from control.aws.lambdas.archive import build_archive, sha256_of

ROLE = f"arn:aws:iam::{ACCOUNT}:role/kennel-lambda"
DEPLOY = ("lambda", "deploy", "dogs", "--endpoint", "Dogs-1")
LOOKS = ("Get", "List", "Describe")
UNREADY = "The role defined for the function cannot be assumed by Lambda."


@pytest.fixture
def account(aws: Aws) -> Aws:
    """Somebody who has the role already."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    aws.client("iam").create_role(RoleName="kennel-lambda", AssumeRolePolicyDocument=trust)
    aws.forget()
    return aws


def provisioning(aws: Aws, *states: str) -> None:
    """Provisioned concurrency passes these states; moto has none of it."""
    following = chain(states, repeat(states[-1]))

    def answer(_parameters):
        status = next(following)
        return {
            "RequestedProvisionedConcurrentExecutions": 2,
            "Status": status,
            "StatusReason": "why",
        }

    aws.answer("PutProvisionedConcurrencyConfig", {"Status": "IN_PROGRESS"})
    aws.answer("GetProvisionedConcurrencyConfig", answer)
    aws.answer("DeleteProvisionedConcurrencyConfig", {})


def changes(aws: Aws) -> list[str]:
    """What was asked for, in order, without the looks."""
    return [one.operation for one in aws.seen if not one.operation.startswith(LOOKS)]


def done(aws: Aws, *words: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    aws.forget()
    result = aws.kennel(*words)
    assert result.returncode == code, result.stderr + result.stdout
    return result


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
    gone = {"DeleteProvisionedConcurrencyConfig", "DeleteAlias", "DeleteFunctionUrlConfig"}
    assert gone | {"DeleteFunctionConcurrency", "RemovePermission"} <= set(changes(account))
    assert client.list_aliases(FunctionName="dogs")["Aliases"] == []
    assert "Concurrency" not in client.get_function(FunctionName="dogs")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function_url_config(FunctionName="dogs")


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
    assert "UpdateAlias" not in changes(account)
    account.client("lambda").update_function_configuration(FunctionName="dogs", Timeout=30)
    done(account, *words, "--yes")
    alias = account.client("lambda").get_alias(FunctionName="dogs", Name="live")
    assert alias["FunctionVersion"] == "2"
    provisioning(account, "FAILED")
    failed = done(account, *words, "--yes", code=1)
    assert "AWS says: why" in failed.stderr


def test_a_role_that_lambda_does_not_know_yet_is_waited_for(account):
    account.fail("CreateFunction", "InvalidParameterValueException", UNREADY, times=3)
    result = done(account, *DEPLOY)
    assert "waiting up to 1 min" in result.stdout
    assert len(account.calls("CreateFunction")) == 4


def test_a_role_that_does_not_exist_is_told_at_once(aws):
    started = time.monotonic()
    result = done(aws, *DEPLOY, code=1)
    assert "kennel iam create" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert len(aws.calls("CreateFunction")) == 1
    assert time.monotonic() - started < 30


def test_a_role_is_made_with_the_least_that_the_function_needs(aws):
    words = (*DEPLOY, "--create-role", "--allow-bucket", "my-dogs")
    check_plan("lambda_role", json.loads(done(aws, *words, "--show").stdout)[:2])
    result = done(aws, *words)
    assert "role:    kennel-lambda was made" in result.stdout
    iam = aws.client("iam")
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
    done(aws, *words)
    assert "CreateRole" not in changes(aws)


def test_a_function_of_somebody_else_is_left_alone(account):
    client = account.client("lambda")
    client.create_function(
        FunctionName="dogs",
        Runtime="python3.13",
        Role=ROLE,
        Handler="x.y",
        Code={"ZipFile": b"theirs"},
    )
    for words in (DEPLOY, ("lambda", "delete", "dogs")):
        result = done(account, *words, code=2)
        assert "kennel did not make" in result.stderr
        assert changes(account) == []


def test_a_function_that_fails_says_why(account):
    name = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:dogs"
    state = {"State": "Failed", "StateReason": "The image is gone", "FunctionArn": name}
    account.stages("GetFunction", {"Configuration": state, "Tags": {"kennel:name": "dogs"}})
    result = done(account, *DEPLOY, code=1)
    assert "The image is gone" in result.stderr


def test_what_aws_denies_names_the_right_that_is_missing(account):
    denied = "User: arn:aws:iam::1:user/x is not authorized to perform: lambda:CreateFunction"
    account.fail("CreateFunction", "AccessDeniedException", denied, status=403)
    result = done(account, *DEPLOY, code=1)
    assert '"Action": "lambda:CreateFunction"' in result.stderr


def test_a_deletion_is_scheduled_and_called_off(account):
    done(account, *DEPLOY, "--ttl-hours", 2)
    (schedule,) = account.client("scheduler").list_schedules()["Schedules"]
    assert schedule["Name"] == "kennel-function-dogs"
    client = account.client("lambda")
    assert "kennel:expires" in client.get_function(FunctionName="dogs")["Tags"]
    done(account, *DEPLOY)
    assert account.client("scheduler").list_schedules()["Schedules"] == []
    assert (
        "kennel:expires" not in account.client("lambda").get_function(FunctionName="dogs")["Tags"]
    )


def test_ctrl_c_while_waiting_says_what_goes_on(account):
    provisioning(account, "IN_PROGRESS")
    process = subprocess.Popen(
        [sys.executable, "-m", "control", *DEPLOY, "--provisioned-concurrency", "2", "--yes"],
        env={**account.environment, "KENNEL_POLL_SECONDS": "0.05"},
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(
        one.operation == "GetProvisionedConcurrencyConfig" for one in account.seen
    ):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "kennel lambda delete dogs" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--public",), "add --url"),
        (("--timeout-seconds", 5), "10 to 900"),
        (("--log-days", 2), "1, 3, 5"),
        (("--memory-mb", 64), "128"),
        (("--allow-host", "https://example.org/"), "*.example.org"),
        (("--allow-bucket", "s3://x"), "bucket's name"),
        (("--allow-origin", "example.org"), "https://example.org"),
        (("--provisioned-concurrency", 3, "--reserved-concurrency", 2), "at least 3"),
        (("--with-role",), "kennel lambda delete"),
        (("--endpoint", "a b"), "endpoint's name"),
    ],
)
def test_impossible_wishes_are_refused_before_anything_is_asked(aws, words, expected):
    result = done(aws, *DEPLOY, *words, code=2)
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not aws.seen


def test_no_endpoint_and_no_name_are_refused(aws):
    assert "--endpoint" in done(aws, "lambda", "deploy", "dogs", code=2).stderr
    assert "64 letters" in done(aws, "lambda", "delete", "dogs/1", code=2).stderr


def test_an_update_that_failed_is_told_and_then_tried_again(account):
    done(account, *DEPLOY)
    client = account.client("lambda")
    found = client.get_function(FunctionName="dogs")
    failed = {**found["Configuration"], "LastUpdateStatus": "Failed"}
    failed["LastUpdateStatusReason"] = "Something internal"
    account.stages("GetFunction", {}, {}, {"Configuration": failed})
    result = done(account, *DEPLOY, "--memory-mb", 256, code=1)
    assert "goes on as it was" in result.stderr
    assert "Something internal" in result.stderr
    account.stages("GetFunction", {"Configuration": failed}, {"Configuration": failed}, {})
    done(account, *DEPLOY, "--memory-mb", 256)
    updates = [one for one in changes(account) if one.startswith("Update")]
    assert updates == ["UpdateFunctionCode", "UpdateFunctionConfiguration"]

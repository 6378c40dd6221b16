"""`kennel lambda deploy`: what AWS refuses, what takes long, and what nobody can have."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from aws_front import ACCOUNT, REGION, Aws
from lambda_account import DEPLOY, ROLE, changes, done, make_endpoints, make_role, provisioning
from serving import REPOSITORY

UNREADY = "The role defined for the function cannot be assumed by Lambda."


@pytest.fixture
def account(aws_here: Aws) -> Aws:
    """Somebody who has the role already."""
    return make_role(aws_here)


def test_a_role_that_lambda_does_not_know_yet_is_waited_for(account):
    account.fail("CreateFunction", "InvalidParameterValueException", UNREADY, times=3)
    result = done(account, *DEPLOY)
    assert "waiting up to 1 min" in result.stdout
    assert len(account.calls("CreateFunction")) == 4


def test_a_role_that_does_not_exist_is_told_at_once(aws_here):
    make_endpoints(aws_here)
    started = time.monotonic()
    result = done(aws_here, *DEPLOY, code=1)
    assert "kennel iam create" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert len(aws_here.calls("CreateFunction")) == 1
    assert time.monotonic() - started < 30


def test_a_function_of_somebody_else_is_left_alone(account):
    client = account.client("lambda")
    client.create_function(
        FunctionName="dogs",
        Runtime="python3.13",
        Role=ROLE,
        Handler="x.y",
        Code={"ZipFile": b"theirs"},
    )
    for words in (DEPLOY, ("lambda", "delete", "dogs", "--yes")):
        result = done(account, *words, code=2)
        assert "kennel did not make" in result.stderr
        assert changes(account) == []


def test_an_endpoint_that_is_not_there_is_told_before_anything_is_made(account):
    words = ("lambda", "deploy", "dogs", "--create-role", "--yes", "--endpoint")
    result = done(account, *words, "Dosg-1", code=2)
    (line,) = result.stderr.splitlines()
    assert "there is no endpoint Dosg-1 in us-east-1; did you mean 'Dogs-1'?" in line
    assert changes(account) == []
    done(account, *words, "Dosg-1", "--role", ROLE, "--show")
    assert account.seen == []


def test_an_endpoint_that_does_not_answer_yet_is_said_and_the_function_is_made(account):
    account.stages("DescribeEndpoint", {"EndpointStatus": "Creating"})
    result = done(account, *DEPLOY)
    assert "note:    endpoint Dogs-1 does not answer now: Creating" in result.stdout
    assert "function dogs created" in result.stdout


SERVERLESS = [{"VariantName": "main", "CurrentServerlessConfig": {"MemorySizeInMB": 2048}}]


def test_the_limit_of_a_serverless_endpoint_is_said_before_a_picture_is_refused_by_it(account):
    account.stages("DescribeEndpoint", {"ProductionVariants": SERVERLESS})
    assert "is serverless and takes 4,194,304 bytes" in done(account, *DEPLOY).stdout
    fitting = done(account, *DEPLOY, "--max-bytes", "4194304")
    assert "takes 4,194,304 bytes" not in fitting.stdout


def test_an_asynchronous_endpoint_has_nothing_to_pass_on(account):
    output = {"OutputConfig": {"S3OutputPath": "s3://answers/dogs"}}
    account.stages("DescribeEndpoint", {"AsyncInferenceConfig": output})
    result = done(account, *DEPLOY, "--yes", code=2)
    assert "endpoint Dogs-1 is asynchronous and answers into S3" in result.stderr
    assert changes(account) == []


def test_who_may_not_look_at_the_endpoint_can_deploy_all_the_same(account):
    account.fail("DescribeEndpoint", "AccessDeniedException", "no", status=403)
    result = done(account, *DEPLOY)
    assert "may not be looked at" in result.stdout


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
    assert '"lambda:CreateFunction"' in result.stderr


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
        (("--role", "my role"), "a role's name, or its ARN"),
        (("--expiry-role", "arn:aws:iam::1:role/x"), "a role's name, or its ARN"),
        (("--provisioned-concurrency", 3, "--reserved-concurrency", 2), "at least 3"),
        (("--with-role",), "kennel lambda delete"),
        (("--endpoint", "a b"), "endpoint's name"),
    ],
)
def test_impossible_wishes_are_refused_before_anything_is_asked(aws_here, words, expected):
    result = done(aws_here, *DEPLOY, *words, code=2)
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not aws_here.seen


def test_no_endpoint_and_no_name_are_refused(aws_here):
    assert "--endpoint" in done(aws_here, "lambda", "deploy", "dogs", code=2).stderr
    assert "64 letters" in done(aws_here, "lambda", "delete", "dogs/1", code=2).stderr


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


def test_the_command_that_tries_again_takes_nothing_away(account):
    done(account, *DEPLOY)
    flags = ("--url", "--allow-host", "a.example", "--allow-host", "*.b.example")
    flags += ("--memory-mb", "1024", "--reserved-concurrency", "0", "--ttl-hours", "2")
    found = account.client("lambda").get_function(FunctionName="dogs")["Configuration"]
    failed = {**found, "LastUpdateStatus": "Failed", "LastUpdateStatusReason": "no"}
    account.stages("GetFunction", {}, {}, {"Configuration": failed})
    result = done(account, *DEPLOY, *flags, code=1)
    (told,) = re.findall("`([^`]+)` tries again", result.stderr)
    words = shlex.split(told)
    assert words[:4] == ["kennel", "lambda", "deploy", "dogs"]
    assert sorted(words[4:]) == sorted((*map(str, DEPLOY[3:]), *flags))


def test_a_function_that_is_not_there_is_named_and_how_it_is_made(aws_here, tmp_path):
    (tmp_path / "dog.jpg").write_bytes(b"x")
    result = done(aws_here, "lambda", "test", "cats", tmp_path / "dog.jpg", code=2)
    assert "there is no function cats in us-east-1" in result.stderr
    assert "kennel lambda deploy cats --endpoint" in result.stderr

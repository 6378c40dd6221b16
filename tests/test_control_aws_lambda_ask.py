"""`kennel lambda test` and `delete`: asked in AWS, asked here, and gone."""

import base64
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aws_front import ACCOUNT, Aws, Refusal, Reply
from lambda_account import make_endpoints, make_role, typed
from lambdas import function
from plans import check_plan, validate
from serving import REPOSITORY, colour_bundle, picture, server

from control.aws.account import Account
from control.aws.lambdas.invoking import invoke, measured_in
from control.aws_client import AwsError

REPORT = (
    "START RequestId: 7 Version: $LATEST\n{}\nEND RequestId: 7\n"
    "REPORT RequestId: 7\tDuration: 41.75 ms\tBilled Duration: 42 ms\tMemory Size: 512 MB\t"
    "Max Memory Used: 91 MB\tInit Duration: 350.20 ms\t\n"
)


@pytest.fixture
def account(aws_here: Aws) -> Aws:
    """Somebody whose function is there."""
    make_role(aws_here)
    result = typed("lambda", "deploy", "dogs", "--endpoint", "dogs", "--url")
    assert result.returncode == 0, result.stderr
    aws_here.forget()
    return aws_here


@pytest.fixture
def photo_file(tmp_path: Path) -> Path:
    path = tmp_path / "green.png"
    path.write_bytes(picture("green"))
    return path


def log_header(text: str) -> dict[str, str]:
    return {"X-Amz-Log-Result": base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize("door", ["direct", "url", "apigateway"])
def test_the_function_is_asked_by_every_door_and_its_times_are_told(
    account, photo_file, tmp_path, door
):
    """moto runs no function: the front has the real one answer, before the real server."""
    with server(colour_bundle()) as running, function(account, tmp_path / "lambda") as dogs:
        account.serve_endpoints(running.url)

        def answer(event):
            return Reply(body=json.dumps(dogs(event)).encode(), headers=log_header(REPORT))

        account.answer("Invoke", answer)
        asked = typed("lambda", "test", "dogs", photo_file, "--event", door)
        told = typed("lambda", "test", "dogs", photo_file, "--event", door, "-o", "json")
        plain = typed("predict", photo_file, "--url", running.url)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith(plain.stdout)
    assert asked.stdout.splitlines()[-1] == (
        "time:    42 ms, 42 billed, after a cold start of 350 ms; memory 91 of 512 MB"
    )
    document = json.loads(told.stdout)
    assert document["predictions"][0]["label"] == "green"
    assert (document["billed_ms"], document["init_ms"]) == (42, 350.2)


def test_a_function_that_takes_long_runs_once_and_is_waited_for_as_long_as_it_may(account):
    account.stages("GetFunction", {"Configuration": {"Timeout": 1}})
    slow = {"seconds": 3.0}

    def answer(_):
        time.sleep(slow["seconds"])
        return Reply(body=b'{"statusCode": 200, "body": "{}"}')

    account.answer("Invoke", answer)
    with pytest.raises(AwsError, match=r"Read timeout.* asked once.* its log is /aws/lambda/dogs"):
        invoke(Account(), "dogs", {}, spare_seconds=0.5)
    assert len(account.calls("Invoke")) == 1
    slow["seconds"] = 2.0
    account.stages("GetFunction", {"Configuration": {"Timeout": 5}})
    assert invoke(Account(), "dogs", {}, spare_seconds=0.5).status == 200


def test_a_function_that_did_not_run_is_asked_again(account, photo_file):
    account.answer("Invoke", lambda _: Reply(body=b'{"statusCode": 200, "body": "{}"}'))
    account.fail("Invoke", "TooManyRequestsException", "Rate Exceeded.", status=429, times=2)
    assert invoke(Account(), "dogs", {}).status == 200
    assert len([one for one in account.seen if one.operation == "Invoke"]) == 3
    account.forget()
    account.fail("Invoke", "ServiceException", "internal", status=500)
    failed = typed("lambda", "test", "dogs", photo_file)
    assert "ServiceException" in failed.stderr
    assert len([one for one in account.seen if one.operation == "Invoke"]) == 1


def test_what_the_function_refuses_is_told_in_its_words(account, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("hello")
    with function(account, tmp_path / "lambda") as dogs:
        account.answer("Invoke", lambda event: Reply(body=json.dumps(dogs(event)).encode()))
        result = typed("lambda", "test", "dogs", text)
    assert result.returncode == 1
    assert "415: 5 bytes" in result.stderr
    assert result.stdout == ""


def test_a_function_that_crashed_tells_the_end_of_its_log(account, photo_file):
    log = (
        "START RequestId: 7\nfirst\n[ERROR] Runtime.ImportModuleError: no boto3\nEND x\nREPORT x\n"
    )
    body = json.dumps({"errorMessage": "Unable to import module", "errorType": "x"}).encode()
    headers = {**log_header(log), "X-Amz-Function-Error": "Unhandled"}
    account.answer("Invoke", lambda _: Reply(body=body, headers=headers))
    result = typed("lambda", "test", "dogs", photo_file)
    assert result.returncode == 1
    assert "Unable to import module" in result.stderr
    assert "no boto3" in result.stderr
    assert "START" not in result.stderr
    assert "`aws logs tail /aws/lambda/dogs` shows the rest" in result.stderr
    account.answer("Invoke", lambda _: Reply(body=b'"Hello from Lambda!"'))
    other = typed("lambda", "test", "dogs", photo_file)
    assert "does not answer as kennel's does" in other.stderr


def test_the_end_of_a_log_without_a_cold_start_is_read():
    assert measured_in(REPORT.replace("\tInit Duration: 350.20 ms", "")) == {
        "duration_ms": 41.75,
        "billed_ms": 42,
        "memory_mb": 512,
        "memory_used_mb": 91,
    }
    assert measured_in("nothing") == {}


def test_the_invocation_is_shown_without_an_account(aws_here, photo_file):
    result = typed("lambda", "test", "dogs", photo_file, "--show")
    (call,) = json.loads(result.stdout)
    validate(call["service"], call["operation"], call["parameters"])
    assert call["parameters"]["LogType"] == "Tail"
    assert "Qualifier = live goes along" in result.stderr
    assert not aws_here.seen


def test_a_picture_that_lambda_would_not_take_is_not_sent(aws_here, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(picture("green") + bytes(5_000_000))
    result = typed("lambda", "test", "dogs", large)
    assert result.returncode == 2
    assert "4,718,592" in result.stderr
    assert not aws_here.seen


def test_the_function_runs_here_before_a_server_without_aws(aws_here, photo_file, tmp_path):
    with server(colour_bundle()) as running:
        words = ("lambda", "test", "dogs", photo_file, "--here", running.url)
        for door in ("direct", "url", "apigateway"):
            here = typed(*words, "--event", door)
            assert here.returncode == 0, here.stderr
            assert here.stdout == typed("predict", photo_file, "--url", running.url).stdout
        broken = tmp_path / "broken.png"
        broken.write_bytes(picture("green")[:60])
        refused = typed("lambda", "test", "dogs", broken, "--here", running.url)
    assert refused.returncode == 1
    assert "400" in refused.stderr
    gone = typed(*words)
    assert gone.returncode == 1
    assert "kennel serve" in gone.stderr
    assert not aws_here.seen


def test_a_function_is_deleted_with_its_log_and_twice_is_fine(account):
    check_plan("lambda_delete", json.loads(typed("lambda", "delete", "dogs", "--show").stdout))
    assert not account.seen
    result = typed("lambda", "delete", "dogs", "--yes")
    assert result.returncode == 0, result.stderr
    assert "gone are address, function, log group" in result.stdout.replace("alias live, ", "")
    assert "kennel-lambda stays: --with-role" in result.stdout
    assert account.client("lambda").list_functions()["Functions"] == []
    assert account.client("logs").describe_log_groups()["logGroups"] == []
    again = typed("lambda", "delete", "dogs", "--yes")
    assert again.returncode == 0, again.stderr
    assert "is not there" in again.stdout


def test_nobody_there_to_agree_deletes_nothing(account):
    refused = typed("lambda", "delete", "dogs")
    assert refused.returncode == 2
    assert "delete:  dogs in us-east-1: the function, its address, its log" in refused.stdout
    assert "nobody is here to agree: add --yes" in refused.stderr
    role = typed("lambda", "delete", "dogs", "--with-role", "-o", "json")
    assert (role.returncode, role.stdout) == (2, "")
    assert "role kennel-lambda if nothing uses it would go" in role.stderr
    assert not any(one.operation.startswith("Delete") for one in account.seen)


@pytest.mark.parametrize(("answer", "is_there"), [(b"n\n", True), (b"y\nn\n", False)])
def test_on_a_terminal_it_asks_and_takes_no_for_an_answer(account, answer, is_there):
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    done = subprocess.run(
        [sys.executable, "-m", "control", "lambda", "delete", "dogs"],
        env=account.environment,
        cwd=REPOSITORY,
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == (2 if is_there else 0), done.stderr
    assert "go on? [y/N]" in done.stdout
    assert ("nothing was deleted from AWS" in done.stderr) is is_there
    functions = account.client("lambda").list_functions()["Functions"]
    assert [one["FunctionName"] for one in functions] == (["dogs"] if is_there else [])


def test_what_is_left_of_a_function_goes_when_it_is_ours(account):
    account.client("lambda").delete_function(FunctionName="dogs")
    account.client("logs").create_log_group(logGroupName="/aws/lambda/cats")
    assert "gone are log group" in typed("lambda", "delete", "dogs", "--yes").stdout
    assert "is not there" in typed("lambda", "delete", "cats", "--yes").stdout
    (group,) = account.client("logs").describe_log_groups()["logGroups"]
    assert group["logGroupName"] == "/aws/lambda/cats"


def test_a_step_that_aws_refuses_is_done_when_typed_again(account):
    denied = "User: x is not authorized to perform: logs:DeleteLogGroup on resource: y"
    account.fail("DeleteLogGroup", "AccessDeniedException", denied)
    result = typed("lambda", "delete", "dogs", "--yes")
    assert result.returncode == 1
    assert "logs:DeleteLogGroup" in result.stderr
    assert "gone are log group" in typed("lambda", "delete", "dogs", "--yes").stdout


def test_a_role_goes_when_kennel_made_it_and_nobody_uses_it(aws_here):
    make_endpoints(aws_here)
    words = ("--endpoint", "dogs", "--create-role")
    for name in ("dogs", "cats"):
        assert typed("lambda", "deploy", name, *words).returncode == 0
    iam = aws_here.client("iam")
    shared = typed("lambda", "delete", "dogs", "--with-role", "--yes")
    assert "kennel-lambda stays: cats uses it" in shared.stdout
    assert iam.list_role_policies(RoleName="kennel-lambda")["PolicyNames"] == ["kennel-cats"]
    last = typed("lambda", "delete", "cats", "--with-role", "--yes")
    assert "kennel-lambda is gone" in last.stdout
    assert iam.list_roles()["Roles"] == []


def test_a_role_of_somebody_else_stays(account):
    result = typed("lambda", "delete", "dogs", "--with-role", "-o", "json", "--yes")
    role = json.loads(result.stdout)["role"]
    assert role == {"name": "kennel-lambda", "is_gone": False, "why": "kennel did not make it"}
    arn = account.client("iam").get_role(RoleName="kennel-lambda")["Role"]["Arn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:role/kennel-lambda"


def test_provisioned_concurrency_goes_first(account):
    account.answer("DeleteProvisionedConcurrencyConfig", {})
    result = typed("lambda", "delete", "dogs", "-o", "json", "--yes")
    assert json.loads(result.stdout)["gone"][0] == "provisioned concurrency"

    def refuse(_):
        raise Refusal("ResourceNotFoundException", "none", 404)

    account.answer("DeleteProvisionedConcurrencyConfig", refuse)
    assert typed("lambda", "delete", "dogs", "--yes").returncode == 0

"""For the tests of `kennel lambda`: somebody with a role, the command, and what it asked for."""

import contextlib
import io
import json
from dataclasses import dataclass
from itertools import chain, repeat

from aws_front import ACCOUNT, Aws

from control.cli import main

ROLE = f"arn:aws:iam::{ACCOUNT}:role/kennel-lambda"
ASKED = "Dogs-1"
DEPLOY = ("lambda", "deploy", "dogs", "--endpoint", ASKED)
LOOKS = ("Get", "List", "Describe")


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What a command line left."""

    returncode: int
    stdout: str
    stderr: str


def make_role(aws: Aws) -> Aws:
    """The account has the role already, one that kennel did not make; and endpoints to ask."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    aws.client("iam").create_role(RoleName="kennel-lambda", AssumeRolePolicyDocument=trust)
    return make_endpoints(aws)


def make_endpoints(aws: Aws) -> Aws:
    """Endpoints that functions of the tests ask; kennel did not make them."""
    client = aws.client("sagemaker")
    client.create_model(
        ModelName="theirs", PrimaryContainer={"Image": "theirs:1"}, ExecutionRoleArn=ROLE
    )
    machine = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    variants = [{"VariantName": "main", "ModelName": "theirs", **machine}]
    client.create_endpoint_config(EndpointConfigName="theirs", ProductionVariants=variants)
    for name in (ASKED, "dogs"):
        client.create_endpoint(EndpointName=name, EndpointConfigName="theirs")
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


def done(aws: Aws, *words: object, code: int = 0) -> Typed:
    """`typed` with the exit code that is expected; the record begins anew."""
    aws.forget()
    result = typed(*words)
    assert result.returncode == code, result.stderr + result.stdout
    return result


def typed(*words: object) -> Typed:
    """Run a command line in this process, as whoever the environment says: see aws_here."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return Typed(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())

"""For the tests of rights: the whole policy, those of files, and a gate before the account."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_gate import Gate
from aws_needs import ACCOUNT, REGION
from lambda_account import typed

from control.aws.access.actions import ADMINISTRATOR, PERSON
from control.aws.access.grant import Grant, policy_of
from control.aws.access.roles import ROLES
from control.aws.access.scope import Places, Scope
from control.s3 import S3Uri

if TYPE_CHECKING:
    from aws_front import Aws

EVERY: tuple[Grant, ...] = (*PERSON, *ADMINISTRATOR)
HERE = ("--account", ACCOUNT, "--region", REGION)

ENDPOINT = """
name = "{name}"
kind = "real-time"
bundle = "s3://models/{name}.tar.gz"
[aws]
artifacts = "s3://models/{name}"
instance_type = "ml.m5.large"
"""


def printed(*words: object) -> dict[str, Any]:
    """What `kennel iam show -o json` prints, in the account of the tests."""
    done = typed("iam", "show", *words, *HERE, "-o", "json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def statements(*words: object, of: Iterable[str] = ("person",)) -> list[dict[str, Any]]:
    """The statements of these policies."""
    document = printed(*words)
    return [one for key in of for one in document[key]["policy"]["Statement"]]


def stand_before(aws: "Aws", allowed: list[dict[str, Any]]) -> Gate:
    """From now on kennel may do in the account what is allowed, and nothing else."""
    gate = Gate(statements=allowed, tags=Instances())
    aws.script.gate = gate
    return gate


class Instances(dict[str, dict[str, str]]):
    """All instances have our tag."""

    def get(self, arn: str, default: Any = None) -> Any:  # type: ignore[override]
        return {"kennel:kind": "ec2"} if ":instance/" in arn else default


def files(*names: str) -> list[Path]:
    """Example files."""
    return [Path("jobs") / f"{name}.toml" for name in names]


def everybody() -> Gate:
    """Before all tests of AWS: what no statement allows, of whatever names, is asked by no command.

    So a call that is new in a command needs its line in control/aws/access.
    """
    anywhere = Places(write=(S3Uri("*", ""),))
    roles = tuple((role.name, "arn:aws:iam::*:role/*") for role in ROLES.values())
    scope = Scope(
        region=REGION,
        account=ACCOUNT,
        trained=anywhere,
        served=anywhere,
        pushed=anywhere.write,
        train_images=("arn:aws:ecr:*:*:repository/*",),
        serve_images=("arn:aws:ecr:*:*:repository/*",),
        ami_parameters=("/aws/*",),
        key_names=("*",),
        roles=roles,
    )
    return Gate(statements=policy_of(EVERY, scope)["Statement"], tags=Instances())


def endpoint(folder: Path, name: str) -> Path:
    """A deployment of this name."""
    path = folder / f"{name}.toml"
    path.write_text(ENDPOINT.format(name=name), encoding="utf-8")
    return path

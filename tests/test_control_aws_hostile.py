"""Whatever stands in a file: it is refused in one line, or AWS's own model takes the requests."""

import json
import tomllib
from pathlib import Path

import pytest
from plans import validate

from contract.errors import KennelError
from control.aws.account import Account
from control.aws.ec2.run_ec2 import Ec2Runner
from control.aws.endpoint.deployment import read_deployment
from control.aws.endpoint.plan import plan_endpoint
from control.aws.endpoint.transform_plan import plan_transform
from control.aws.job.plan import plan_training
from control.aws.shapes import TYPE
from control.job_spec import read_job_spec
from control.s3 import S3Uri

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-serve-cpu:1"
ROLE = "arn:aws:iam::123456789012:role/r"
NAMED = {"image": IMAGE, "role": ROLE}
IN_VPC = {"subnets": ["subnet-1"], "security_groups": ["sg-1"], "kms_key": "k"}
ENDPOINT = {**NAMED, "expiry_role": ROLE}
BUNDLE = "s3://b/m.tar.gz"
FILES = {
    "job": {
        "name": "dogs",
        "aws": {
            **NAMED,
            **IN_VPC,
            "output": "s3://b/out",
            "checkpoints": "s3://b/c",
            "instance_type": "ml.m5.large",
            "channels": {"train": "s3://b/t"},
            "tags": {"a": "b"},
        },
        "ec2": {
            **{"role": "x", "key_name": "k", "instance_type": "m5.large"},
            **{"subnet": "subnet-12345678", "security_group": "sg-12345678"},
        },
    },
    "endpoint": {
        "name": "dogs",
        "kind": "asynchronous",
        "bundle": BUNDLE,
        "aws": {
            **{**ENDPOINT, **IN_VPC, "tags": {"a": "b"}, "environment": {"A": "b"}},
            "instance_count": 2,
        },
        "asynchronous": {
            "output": "s3://b/o",
            "failure": "s3://b/f",
            "success_topic": "arn:aws:sns:us-east-1:123456789012:t",
        },
        "capture": {"s3": "s3://b/c"},
        "update": {"strategy": "canary", "alarms": ["x"]},
    },
    "variants": {
        "name": "dogs",
        "aws": {**ENDPOINT, "instance_type": "ml.m5.large"},
        "variants": [{"name": "a", "bundle": BUNDLE}, {"name": "b", "bundle": BUNDLE}],
    },
    "multi-model": {
        "name": "dogs",
        "kind": "multi-model",
        "aws": ENDPOINT,
        "multi_model": {"prefix": "s3://b/p", "models": {"a": BUNDLE}},
    },
    "batch": {
        "name": "dogs",
        "kind": "batch",
        "bundle": BUNDLE,
        "aws": {**NAMED, "kms_key": "k"},
        "transform": {
            "input": "s3://b/i/",
            "output": "s3://b/o/",
            "accept": "application/json",
            "content_type": "application/json",
            "input_filter": "$",
            "ami": "x",
        },
    },
}
HOSTILE = (
    *("", " ", "a b", "a-", "-a", "a--b", "\xe4", "a\nb", "\x7f", "\U0001f600", "../x"),
    *("x" * 300, "x" * 3000, "s3://b", "s3://b/\xe4 b", "s3://[b]/x", "s3://B_/x", "s3://b/\nx"),
    *("s3://b/" + "x" * 490, "s3://b/" + "x" * 1100, "s3://b/a?b#c", "'; rm -rf /", "kennel:x"),
    *("arn:aws:iam::123456789012:role/x y", "arn:aws:iam::12:role/x", "m5.large", "ml.m5"),
)
# What boto3 itself makes of a bucket and a key; and a list that AWS lengthens every month.
WRITTEN_BY_BOTO3 = "CopyObject"


def leaves(tree, path=()):
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def changed(tree, path, text, *, is_name=False):
    """A copy in which one value is `text`, or one name."""
    copy = inside = json.loads(json.dumps(tree))
    for key in path[:-1]:
        inside = inside[key]
    inside[text if is_name else path[-1]] = inside.pop(path[-1]) if is_name else text
    return copy


def toml(tree):
    def word(value):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{word(name)} = {word(x)}" for name, x in value.items()) + "}"
        if isinstance(value, list):
            return f"[{', '.join(map(word, value))}]"
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

    return "".join(f"{word(name)} = {word(value)}\n" for name, value in tree.items())


def calls_of(kind, path, account):
    if kind == "job":
        spec = read_job_spec(path, in_aws=True)
        return [*plan_training(spec, account).calls, *Ec2Runner(account=account).plan(spec).calls]
    if kind == "batch":
        return plan_transform(read_deployment(path), account).shown("dogs-1")
    plan = plan_endpoint(read_deployment(path), account)
    return [*plan.calls(), plan.update]


def check(kind, tree, folder, account):
    """Raises AssertionError: AWS would refuse what we accept. Whether we accept it."""
    path = Path(folder) / "file.toml"
    path.write_text(toml(tree), encoding="utf-8")
    assert tomllib.loads(path.read_text(encoding="utf-8")) == tree
    try:
        calls = calls_of(kind, path, account)
    except KennelError:
        return False
    for call in calls:
        if call.operation == WRITTEN_BY_BOTO3:
            continue
        try:
            validate(call.service, call.operation, dict(call.parameters))
        except AssertionError as error:
            parts = str(error).split("; ")
            assert all("InstanceType" in part and "none of" in part for part in parts), parts
    return True


@pytest.mark.parametrize("kind", FILES)
def test_what_a_file_may_say_is_what_aws_takes(aws_here, tmp_path, kind):
    tree, account = FILES[kind], Account()
    assert check(kind, tree, tmp_path, account)
    accepted = tried = 0
    for path in leaves(tree):
        names = path[-2:-1] in (("tags",), ("environment",), ("models",))
        for text in HOSTILE:
            for is_name in (False, True) if names else (False,):
                tried += 1
                other = changed(tree, path, text, is_name=is_name)
                accepted += check(kind, other, tmp_path, account)
    assert tried > 100
    assert 0 < accepted < tried  # some of it is harmless: a prefix with a space


def test_more_than_aws_takes_is_refused_in_a_list(aws_here, tmp_path):
    for name, texts in (
        ("subnets", [f"subnet-{number}" for number in range(17)]),
        ("security_groups", [f"sg-{number}" for number in range(6)]),
        ("tags", {f"k{number}": "v" for number in range(41)}),
    ):
        for kind in ("job", "endpoint"):
            other = changed(FILES[kind], ("aws", name), texts)
            assert not check(kind, other, tmp_path, Account())
    fits = {f"k{number}": "v" for number in range(40)}
    other = changed(FILES["endpoint"], ("aws", "tags"), fits)
    assert check("endpoint", other, tmp_path, Account())


def test_our_types_are_those_that_aws_has():
    from aws_words import model_of

    for shape in ("TrainingInstanceType", "ProductionVariantInstanceType", "TransformInstanceType"):
        assert all(map(TYPE.fits, model_of("sagemaker").shape_for(shape).enum))


@pytest.mark.parametrize("text", ["s3://", "s3:///x", "s3://[b]/x", "s3://b/\nx", "S3://b/x", "b"])
def test_an_address_without_a_bucket_is_refused_in_one_line(text):
    with pytest.raises(KennelError, match=r"expected s3://BUCKET/PREFIX") as error:
        S3Uri.parse(text)
    assert "\n" not in str(error.value)

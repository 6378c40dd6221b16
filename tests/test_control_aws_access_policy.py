"""Policies that kennel iam prints: read by a linter and held against AWS's own reference."""

import ast
import fnmatch
import json
import subprocess
import sys
from pathlib import Path

import pytest
from access import EVERY, printed, statements
from aws_needs import kinds_of, reference
from lambda_account import typed

from control.aws.access.roles import ROLES
from control.aws_remedies import remedy_for

ROOT = Path(__file__).parent.parent
JOBS = sorted(
    path for path in (ROOT / "jobs").glob("*.toml") if "[aws]" in path.read_text(encoding="utf-8")
)
# What is granted and stands in no file of ours: AWS does it while it does what we asked.
BY_AWS = {
    "s3:AbortMultipartUpload": "boto3 ends an upload in parts that failed",
    "iam:PassRole": "whoever names a role",
    "iam:CreateServiceLinkedRole": "the first spot instance, the first scaling",
    "ssm:GetParameters": "RunInstances looks an image up",
    "ec2:CreateTags": "RunInstances with tags",
    "kms:CreateGrant": "volumes",
    "kms:DescribeKey": "volumes",
    "kms:Decrypt": "objects",
    "kms:GenerateDataKey": "objects",
    "lambda:InvokeFunction": "the operation is called Invoke",
    "sagemaker:AddTags": "whatever is made with tags",
    "cloudwatch:TagResource": "alarms with tags",
    "logs:TagResource": "log groups with tags",
    "application-autoscaling:TagResource": "targets with tags",
    "iam:TagRole": "roles with tags",
    "iam:TagInstanceProfile": "profiles with tags",
    "s3:ListBucket": "the operation is called ListObjectsV2 or HeadBucket",
    "s3:ListBucketMultipartUploads": "the operation is called ListMultipartUploads",
    "s3:ListMultipartUploadParts": "the operation is called ListParts",
    "s3:PutBucketPublicAccessBlock": "the operation is called PutPublicAccessBlock",
    "s3:PutEncryptionConfiguration": "the operation is called PutBucketEncryption",
}
LINT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from parliament import analyze_policy_string
found = []
for text in json.load(sys.stdin):
    findings = analyze_policy_string(text).findings
    found.append([[one.issue, str(one.detail)] for one in findings])
print(json.dumps(found))
"""


def lint(policies):
    """parliament's findings about each; it warns on import, so in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LINT],
        input=json.dumps([json.dumps(policy) for policy in policies]),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


def is_no_mistake(finding):
    """Rights on several kinds of things stand in several statements, as AWS's own examples have
    it; and public parameters belong to no account."""
    issue, detail = finding
    return issue == "RESOURCE_MISMATCH" and ("ec2:RunInstances" in detail or "ssm:" in detail)


def every_policy(*words):
    return {key: one["policy"] for key, one in printed(*words).items()}


def test_the_linter_finds_nothing_in_any_policy():
    named = [*every_policy().values(), *every_policy(*JOBS).values()]
    for findings in lint(named):
        assert [one for one in findings if not is_no_mistake(one)] == []


def test_the_linter_would_find_a_mistake():
    bad = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["sagemaker:CreateBox"], "Resource": ["*"]},
            {
                "Effect": "Allow",
                "Action": ["sagemaker:CreateModel"],
                "Resource": ["arn:aws:sagemaker:us-east-1:123456789012:endpoint/dogs"],
            },
        ],
    }
    ((unknown, *_),) = lint([{**bad, "Statement": bad["Statement"][:1]}])
    ((mismatch, *_),) = lint([{**bad, "Statement": bad["Statement"][1:]}])
    assert (unknown[0], mismatch[0]) == ("UNKNOWN_ACTION", "RESOURCE_MISMATCH")


@pytest.mark.parametrize("words", [(), tuple(JOBS)], ids=["no file", "all files"])
def test_no_right_is_on_everything_where_aws_knows_a_resource(words):
    for key, policy in every_policy(*words).items():
        for one in policy["Statement"]:
            for action in one["Action"]:
                assert "*" not in action, f"{key}: {action}"
                _, kinds = kinds_of(action)
                if one["Resource"] == ["*"]:
                    assert not kinds, f"{key}: {action} could name {', '.join(kinds)}"
                    assert one.get("Condition"), f"{key}: {action} has nothing that narrows it"
                else:
                    assert kinds, f"{key}: {action} knows no resource, and so is never allowed"
                    assert "*" not in one["Resource"]


def test_each_resource_is_one_that_an_action_takes_and_each_action_has_one():
    for key, policy in every_policy(*JOBS).items():
        for one in policy["Statement"]:
            if one["Resource"] == ["*"]:
                continue
            taken = {
                action: [arn for arn in one["Resource"] if fits(arn, shapes_of(action))]
                for action in one["Action"]
            }
            assert all(taken.values()), f"{key}: {one}"
            assert {arn for arns in taken.values() for arn in arns} == set(one["Resource"]), one


def fits(arn, shapes):
    return any(fnmatch.fnmatchcase(arn, shape) for shape in shapes)


def shapes_of(action):
    """Patterns of ARNs of an action's resources."""
    prefix = action.partition(":")[0]
    _, kinds = kinds_of(action)
    # Source: CloudWatch Logs user guide: :* stands for the group and its streams.
    found = ["arn:*:logs:*:*:log-group:*:*"] if prefix == "logs" else []
    for one in reference()[prefix]["resources"]:
        if one["resource"] in kinds:
            parts = one["arn"].split(":")
            found.append(
                ":".join(["arn", "*", *parts[2:3], "*", "*", *map(blank, parts[5:])]) + "*"
            )
    return found


def blank(part):
    """`role/${RoleNameWithPath}` -> `role/*`."""
    return "".join("*" if at % 2 else text for at, text in enumerate(split_names(part)))


def split_names(part):
    return part.replace("}", "${").split("${")


def test_people_may_do_nothing_that_no_command_calls():
    literals = {
        node.value
        for path in (ROOT / "control").rglob("*.py")
        if "access" not in path.parts or path.name == "making.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    literals |= {f"Describe{word}" for word in literals}  # models: f"Describe{what}"
    unused = {
        action
        for grant in EVERY
        for action in grant.actions
        if action not in BY_AWS and action.partition(":")[2] not in literals
    }
    assert unused == set()


def test_people_may_pass_each_role_to_its_own_service_alone():
    passed = {}
    for one in statements():
        if one["Action"] == ["iam:PassRole"]:
            (arn,) = one["Resource"]
            ((_, service),) = one["Condition"]["StringEquals"].items()
            passed[arn.rpartition("/")[2]] = service
    assert passed == {role.name: role.service for role in ROLES.values()}


def test_a_policy_of_a_file_names_what_the_file_names_and_no_more():
    file = ROOT / "jobs" / "dogs_aws.toml"
    text = json.dumps(printed(file, "--account", "111122223333", "--region", "eu-west-1"))
    document = printed_as("dogs_aws")
    training = {one["Sid"]: one for one in document["training"]["policy"]["Statement"]}
    bucket = "arn:aws:s3:::kennel-111122223333"
    assert training["ListFolders"]["Resource"] == [bucket]
    assert training["WriteFiles"]["Resource"] == [f"{bucket}/output", f"{bucket}/output/*"]
    assert f"{bucket}/dogs/train/*" in training["ReadFiles"]["Resource"]
    assert "dogs/test/*" in training["ListFolders"]["Condition"]["StringLike"]["s3:prefix"]
    person = {one["Sid"]: one for one in document["person"]["policy"]["Statement"]}
    assert person["RunTrainingJobs"]["Resource"] == [
        "arn:aws:sagemaker:eu-west-1:111122223333:training-job/dogs-aws-*"
    ]
    assert not {"MakeEndpoints", "AskEndpoints", "MakeFunctions", "RunTuningJobs"} & person.keys()
    assert set(document) == {"person", "administrator", "training"}
    for word in ("kms:", "ec2:CreateNetworkInterface", "sns:"):
        assert word not in text


def printed_as(*names):
    """Of example files, whose account and region are told by their own names."""
    paths = [ROOT / "jobs" / f"{name}.toml" for name in names]
    done = typed("iam", "show", *paths, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_keys_subnets_and_topics_are_in_policies_of_files_that_have_them(tmp_path):
    file = tmp_path / "dogs.toml"
    text = (ROOT / "jobs" / "dogs_aws.toml").read_text(encoding="utf-8")
    more = 'kms_key = "1234abcd"\nsubnets = ["subnet-1"]\nsecurity_groups = ["sg-1"]\n'
    file.write_text(text.replace("[aws]\n", f"[aws]\n{more}"), encoding="utf-8")
    found = {one["Sid"]: one for one in statements(file, of=["training"])}
    assert found["UseKey"]["Resource"] == ["arn:aws:kms:us-east-1:123456789012:key/1234abcd"]
    assert "ec2:CreateNetworkInterface" in found["EnterNetwork"]["Action"]
    assert found["SeeNetwork"]["Condition"]


def test_each_part_of_a_persons_policy_fits_into_a_managed_policy():
    for words in ((), tuple(JOBS)):
        document = printed(*words)["person"]
        parts = document["parts"]
        assert [s for part in parts for s in part["Statement"]] == document["policy"]["Statement"]
        assert all(len("".join(json.dumps(part).split())) <= 6144 for part in parts)


def test_roles_of_all_example_files_fit_onto_roles():
    for key, one in printed(*JOBS).items():
        if key in ROLES:
            assert len(json.dumps(one["policy"], separators=(",", ":"))) <= 10_240, key


def test_each_statement_has_a_name_of_its_own():
    for key, policy in every_policy().items():
        names = [one["Sid"] for one in policy["Statement"]]
        assert len(names) == len(set(names)), key
        assert all(name.isalnum() for name in names)


@pytest.mark.parametrize(
    ("action", "resource", "key"),
    [
        (
            "sagemaker:CreateEndpoint",
            "arn:aws:sagemaker:us-east-1:123456789012:endpoint/dogs",
            "person",
        ),
        ("iam:CreateRole", "arn:aws:iam::123456789012:role/kennel-ec2", "administrator"),
        ("ec2:DescribeInstances", "*", "person"),
    ],
)
def test_a_refusal_prints_a_line_of_the_policy(monkeypatch, action, resource, key):
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    who = "User: arn:aws:iam::123456789012:user/ann"
    said = f"{who} is not authorized to perform: {action} on resource: {resource} because no"
    told = remedy_for("AccessDenied", said)
    line = told.removeprefix("missing is ").partition("; `")[0]
    assert json.loads(line) in statements(of=[key])
    assert f"`kennel iam show --only {key}`" in told


def test_a_refusal_of_a_role_of_ours_prints_a_line_of_that_role():
    who = "User: arn:aws:sts::123456789012:assumed-role/kennel-training/SageMaker"
    said = f'{who} is not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::dogs" b'
    told = remedy_for("AccessDenied", said)
    line = json.loads(told.removeprefix("missing is ").partition("; `")[0])
    assert "kennel iam show --only training --bucket s3://dogs" in told
    assert line in statements("--bucket", "s3://dogs", of=["training"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "trainig"), "did you mean 'training'?"),
        (("--commands", "deplo"), "did you mean 'deploy'?"),
        (("--account", "12"), "expected twelve digits"),
        (("--region", "mars"), "--region: expected a region of AWS's such as us-east-1"),
        (("--region", "us east"), "got 'us east'"),
        (("jobs/dogs_aws.toml", "--prefix", "dogs"), "give one or the other"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(words, told):
    done = typed("iam", "show", "--region", "eu-west-1", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1

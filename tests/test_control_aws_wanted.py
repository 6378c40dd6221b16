"""What `kennel doctor FILE` looks for: read from each kind of file, the examples among them."""

import re
from collections import Counter
from pathlib import Path

import pytest
from aws_examined import endpoint_file, job_file
from aws_front import Refusal
from aws_world import put_role

from contract.errors import SpecError
from control.aws.account import Account
from control.aws.house.check_account import role_checks
from control.aws.house.check_quota import quota_checks
from control.aws.house.wanted import Wanted, read_wanted

JOBS = Path(__file__).resolve().parents[1] / "jobs"
GPU = "Running On-Demand G and VT instances"


@pytest.mark.parametrize(
    ("name", "machines"),
    [
        ("dogs_aws", {("ml.m5.xlarge", "spot training"): 1}),
        ("dogs_tuning_aws", {("ml.m5.xlarge", "training"): 4}),  # so many at a time
        ("dogs_ec2", {("ml.m5.xlarge", "training"): 1, ("g4dn.xlarge", "ec2"): 1}),
        ("dogs_batch", {("ml.c5.xlarge", "transform"): 2}),
        ("dogs_serverless", {}),
        ("dogs_multi_model", {("ml.m5.xlarge", "endpoint"): 1}),
        ("dogs_variants", {("ml.m5.large", "endpoint"): 1, ("ml.g4dn.xlarge", "endpoint"): 1}),
    ],
)
def test_machines_are_counted_as_often_as_they_run_at_a_time(name, machines):
    assert read_wanted(JOBS / f"{name}.toml").machines == machines


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_is_read(path):
    wanted = read_wanted(path)
    text = path.read_text()
    assert bool(wanted.roles) == ("[aws]" in text)
    assert all(place.startswith("s3://") for place in (*wanted.inputs, *wanted.outputs))


def test_variants_on_different_chips_want_an_image_each():
    wanted = read_wanted(JOBS / "dogs_variants.toml")
    assert wanted.images == ("kennel-serve-cpu", "kennel-serve")
    assert len(wanted.bundles) == 2


def test_an_endpoint_without_an_end_needs_no_role_that_ends_it(tmp_path):
    roles = read_wanted(endpoint_file(tmp_path, "s3://a/b/model.tar.gz")).roles
    assert roles == (("kennel-endpoint", "sagemaker.amazonaws.com"),)
    ending = endpoint_file(tmp_path, "s3://a/b/model.tar.gz")
    ending.write_text(ending.read_text().replace("ttl_hours = 0", "ttl_hours = 1"))
    assert read_wanted(ending).roles[1] == ("kennel-expiry", "scheduler.amazonaws.com")


@pytest.mark.parametrize(
    ("more", "kind", "says"),
    [
        ("", "ml.p3.2xlarge", "does not know the GPU of ml.p3.2xlarge any more"),
        ("", "ml.nosuch.huge", "knows no ml.nosuch.huge for training"),
        ('[ec2]\ninstance_type = "m5.xlage"\n', "ml.m5.xlarge", "did you mean m5.xlarge?"),
    ],
)
def test_what_the_command_would_refuse_is_refused_here_too(tmp_path, more, kind, says):
    with pytest.raises(SpecError, match=re.escape(says)):
        read_wanted(job_file(tmp_path, kind, more=more))
    one = endpoint_file(tmp_path, "s3://a/b/model.tar.gz", more='[update]\nstrategy = "canary"\n')
    with pytest.raises(SpecError, match="begins with half of the machines"):
        read_wanted(one)


@pytest.mark.parametrize(("kind", "megabytes"), [("serverless", 4), ("async", 1024), ("batch", 10)])
def test_the_most_that_a_request_may_have_depends_on_the_kind(kind, megabytes):
    assert read_wanted(JOBS / f"dogs_{kind}.toml").payload_mb == megabytes


@pytest.mark.parametrize(("allowed", "is_ok"), [(3.0, False), (4.0, True)])
def test_ec2_counts_processors_by_family(allowed, is_ok, aws_here, tmp_path):
    asked = []

    def quota(parameters):
        asked.append(parameters["QuotaCode"])
        return {"Quota": {"QuotaName": GPU, "QuotaCode": "L-DB2E81BA", "Value": allowed}}

    aws_here.answer("GetServiceQuota", quota)
    path = job_file(tmp_path, more='[ec2]\ninstance_type = "g4dn.xlarge"\n')
    machines = read_wanted(path).machines
    del machines["ml.m5.xlarge", "training"]
    (check,) = quota_checks(Account(), Wanted(machines=machines))
    assert (check.is_ok, asked[0]) == (is_ok, "L-DB2E81BA")
    assert "4 wanted for g4dn.xlarge" in check.said
    assert ("--quota-code L-DB2E81BA --desired-value 4" in check.remedy) is not is_ok


def test_a_quota_that_was_never_changed_has_the_default_value(aws_here):
    def quota(_):
        raise Refusal("NoSuchResourceException", "applied value do not exist")

    aws_here.answer("GetServiceQuota", quota)
    usual = {"QuotaName": GPU, "QuotaCode": "L-DB2E81BA", "Value": 8.0}
    aws_here.answer("GetAWSDefaultServiceQuota", {"Quota": usual})
    (check,) = quota_checks(Account(), Wanted(machines=Counter({("g4dn.xlarge", "ec2"): 1})))
    assert check.said == f"{GPU}: 8 processors, 4 wanted for g4dn.xlarge"
    assert check.is_ok


@pytest.mark.parametrize(
    ("allowed", "kind", "use", "instead"),
    [
        (
            {"L-DB2E81BA": 4},
            "g4dn.2xlarge",
            "ec2",
            "allowed now: g6.xlarge (4 processors, $0.8048 an hour)",
        ),
        (
            {"L-417A185B": 96},
            "g5.xlarge",
            "ec2",
            "allowed now: p4d.24xlarge (96 processors, $21.95",
        ),
        (
            {"L-3819A6DF": 8},
            "g5.xlarge",
            "ec2",
            "allowed now as spot, spot = true: g5.xlarge (4 processors)",
        ),
        ({"L-1216C47A": 1}, "m5.large", "ec2", "no type without a GPU is allowed now, nor as spot"),
        (
            {"L-1216C47A": 4},
            "m5.4xlarge",
            "spot ec2",
            "allowed now on demand, spot = false: r5.xlarge",
        ),
        (
            {"L-1216C47A": 4},
            "g5.xlarge",
            "ec2",
            "nor as spot, spot = true; without: r5.xlarge (4 pro",
        ),
    ],
)
def test_too_few_processors_name_what_is_allowed_instead(allowed, kind, use, instead, aws_here):
    def quota(parameters):
        code = parameters["QuotaCode"]
        return {"Quota": {"QuotaName": code, "Value": float(allowed.get(code, 0))}}

    aws_here.answer("GetServiceQuota", quota)
    (check,) = quota_checks(Account(), Wanted(machines=Counter({(kind, use): 1})))
    assert not check.is_ok
    assert f" wanted for {kind}; " in check.said
    assert instead in check.said


def test_an_instance_profile_must_hold_a_role_that_ec2_may_take(aws_here):
    wanted = Wanted(roles=(("kennel-ec2", "ec2.amazonaws.com"),))
    client = aws_here.client("iam")

    def said():
        (check,) = role_checks(Account(), wanted)
        return check.is_ok, check.said

    assert said() == (False, "instance profile kennel-ec2 does not exist")
    client.create_instance_profile(InstanceProfileName="kennel-ec2")
    assert said() == (False, "instance profile kennel-ec2 holds no role")
    put_role(aws_here, "worker", "ec2.amazonaws.com")
    client.add_role_to_instance_profile(InstanceProfileName="kennel-ec2", RoleName="worker")
    assert said() == (True, "worker, which ec2.amazonaws.com may take")

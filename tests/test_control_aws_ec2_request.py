"""RunInstances as it is sent: botocore's own model is the judge; what [ec2] may say."""

import json
from pathlib import Path

import pytest
from plans import check_plan, validate
from training_jobs import job_file

from contract.errors import SpecError
from control.aws.account import Account
from control.aws.ec2.ec2_place import AMI_PARAMETER, Ec2Place
from control.aws.ec2.run_ec2 import Ec2Runner
from control.cli import main
from control.job_spec import read_job_spec

EXAMPLE = Path(__file__).resolve().parents[1] / "jobs" / "dogs_ec2.toml"
VPC = 'subnets = ["subnet-1"]\nsecurity_groups = ["sg-1"]'
EVERYTHING = """[ec2]
instance_type = "g5.2xlarge"
volume_gb = 200
role = "arn:aws:iam::123456789012:instance-profile/mine"
subnet = "subnet-0123456789abcdef0"
security_group = "sg-0123456789abcdef0"
spot = true
ami = "ami-0123456789abcdef0"
root_device = "/dev/sda1"
key_name = "mine"
"""


def plan_of(path, **more):
    return Ec2Runner(account=Account()).plan(read_job_spec(path, in_aws=True), **more)


def request_of(tmp_path, aws="", more=""):
    """The parameters of RunInstances, which AWS's model allows."""
    (call,) = plan_of(job_file(tmp_path, aws, more)).calls
    validate("ec2", "RunInstances", call.parameters)
    return call.parameters


def test_the_example_is_the_plan_that_was_reviewed():
    plan = plan_of(EXAMPLE)
    check_plan("run_dogs_ec2", plan.calls)
    assert plan.name == plan.calls[0].parameters["ClientToken"]


def test_nothing_reaches_the_instance_and_nothing_of_it_stays(tmp_path):
    request = request_of(tmp_path)
    assert request["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert request["MetadataOptions"]["HttpTokens"] == "required"
    (disk,) = request["BlockDeviceMappings"]
    assert (disk["Ebs"]["Encrypted"], disk["Ebs"]["DeleteOnTermination"]) == (True, True)
    assert (request["MinCount"], request["MaxCount"]) == (1, 1)
    assert "KeyName" not in request


def test_instance_and_volume_have_our_tags_and_the_files(tmp_path):
    request = request_of(tmp_path, 'tags = { team = "dogs", Name = "mine" }')
    for one in request["TagSpecifications"]:
        tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        assert (tags["kennel:name"], tags["kennel:kind"], tags["team"]) == ("dogs", "ec2", "dogs")
        assert tags["kennel:job"] == request["ClientToken"]
        assert tags["Name"] == "mine"
    assert [one["ResourceType"] for one in request["TagSpecifications"]] == ["instance", "volume"]


def test_everything_that_the_table_may_say_is_asked_for(tmp_path):
    request = request_of(
        tmp_path, 'kms_key = "arn:aws:kms:us-east-1:123456789012:key/1"', EVERYTHING
    )
    assert request["ImageId"] == "ami-0123456789abcdef0"
    assert request["IamInstanceProfile"]["Arn"].endswith("instance-profile/mine")
    assert (request["SubnetId"], request["KeyName"]) == ("subnet-0123456789abcdef0", "mine")
    assert request["SecurityGroupIds"] == ["sg-0123456789abcdef0"]
    assert request["InstanceMarketOptions"]["MarketType"] == "spot"
    (disk,) = request["BlockDeviceMappings"]
    assert (disk["DeviceName"], disk["Ebs"]["VolumeSize"]) == ("/dev/sda1", 200)
    assert disk["Ebs"]["KmsKeyId"].endswith("key/1")
    assert "--gpus all" in request["UserData"]


@pytest.mark.parametrize(
    ("instance_type", "kind"),
    [("m5.xlarge", ""), ("g4dn.xlarge", "/gpu"), ("p4d.24xlarge", "/gpu"), ("c7i.large", "")],
)
def test_a_type_with_a_gpu_starts_an_image_with_its_driver(instance_type, kind):
    place = Ec2Place(instance_type=instance_type)
    assert place.image_id == f"resolve:ssm:{AMI_PARAMETER.format(kind=kind)}"
    assert place.has_gpu == bool(kind)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("instance_typ = 'm5.large'", "ec2: unknown name 'instance_typ'; did you mean"),
        ("instance_type = 'ml.m5.large'", "without SageMaker's ml."),
        ("instance_type = 'm7g.large'", "ARM processor"),
        ("volume_gb = 10", "ec2.volume_gb: expected a whole number from 30"),
        ("spot = 1", "ec2.spot: expected true or false"),
        ("ami = 'ami-1'", "ec2.ami: expected e.g. ami-0123"),
        ("subnet = 'net'", "ec2.subnet: expected e.g. subnet-0123"),
        (
            "ami = 'ami-0123456789abcdef0'\nami_parameter = '/mine'",
            "ami or ami_parameter, not both",
        ),
        ("role = ''", "ec2.role: expected text in quotes"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path, line, says):
    with pytest.raises(SpecError) as caught:
        read_job_spec(job_file(tmp_path, more=f"[ec2]\n{line}\n"), in_aws=True)
    assert says in str(caught.value)
    assert "dogs.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("aws", "more", "says"),
    [
        ("network_isolation = true", "", "on an instance the job could use the network"),
        (VPC, "", "is not in this VPC unless [ec2] says so"),
        (VPC, '[ec2]\nsubnet = "subnet-0123456789abcdef0"\n', "is not in this VPC"),
        ("instance_count = 2", "", "this asks for 2: add --instances 1"),
    ],
)
def test_a_protection_that_an_instance_has_not_is_refused(tmp_path, capsys, aws, more, says):
    words = ["run", str(job_file(tmp_path, aws, more)), "--on", "ec2", "--show"]
    assert main(words) == 2
    assert says in capsys.readouterr().err


def test_what_an_instance_does_in_its_own_way_is_taken_or_said(tmp_path, capsys):
    path = job_file(tmp_path, f'{VPC}\ninstance_count = 2\ncheckpoints = "s3://b/c"', EVERYTHING)
    words = ["run", str(path), "--on", "ec2", "--show", "-o", "json", "--instances", "1"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)[0]["parameters"]["SubnetId"] == "subnet-0123456789abcdef0"
    assert said.err.startswith("note: aws.checkpoints: an instance has none in S3")


def test_show_needs_no_account_and_no_region(tmp_path, capsys, monkeypatch):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["run", str(job_file(tmp_path)), "--on", "ec2", "--show"]
    assert main([*words, "-o", "json"]) == 0
    (call,) = json.loads(capsys.readouterr().out)
    script = call["parameters"]["UserData"]
    assert script.startswith("#!/bin/bash\n")
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "characters: the script below)" in shown
    assert "\nshutdown -P +92\n" in shown
    assert shown.rstrip().endswith(script.rstrip().splitlines()[-1])


def test_flags_stand_above_the_table(tmp_path, capsys):
    words = ["run", str(job_file(tmp_path)), "--on", "ec2", "--show", "-o", "json"]
    more = ["--instance-type", "g5.xlarge", "--spot", "--role", "other", "--image", "r/i:2"]
    assert main([*words, *more]) == 0
    parameters = json.loads(capsys.readouterr().out)[0]["parameters"]
    assert parameters["InstanceType"] == "g5.xlarge"
    assert parameters["IamInstanceProfile"] == {"Name": "other"}
    assert "IMAGE=r/i:2\n" in parameters["UserData"]
    assert parameters["InstanceMarketOptions"]["MarketType"] == "spot"
    assert main([*words, "--instances", "2"]) == 2
    assert "has one machine; several need --on aws" in capsys.readouterr().err

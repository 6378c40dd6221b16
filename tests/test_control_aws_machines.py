"""Machines that a job cannot use, or AWS has not, are refused before anything is made."""

import re

import pytest
from aws_front import REGION
from endpoints import IMAGE, deploy, write_deployment
from training_jobs import BUCKET, job_file, passing, when_created
from tuning_jobs import tuning_file

from contract.errors import SpecError
from control.aws.endpoint.deployment import read_deployment
from control.aws.machines import IMAGE_CUDA, LISTS, check_chips, check_gpu, check_training
from control.aws.prices import known_types
from control.aws_client import known_values
from control.aws_place import AwsPlace
from control.cli import main

ELSEWHERE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/kennel-train:1"


@pytest.fixture
def here(tmp_path, monkeypatch, aws_here):
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    monkeypatch.chdir(tmp_path)
    aws_here.forget()
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("ml.trn1.2xlarge", "other chips than our images compute on"),
        ("ml.c7g.large", "other chips than our images compute on"),
        ("ml.p3.2xlarge", "does not know the GPU of ml.p3.2xlarge any more"),
        ("ml.nosuch.huge", "knows no ml.nosuch.huge for training"),
        ("ml.m5.xlage", "(did you mean ml.m5.xlarge?); a type newer than it needs"),
    ],
)
def test_a_type_that_a_job_cannot_use_is_refused_before_it_is_shown(tmp_path, capsys, kind, says):
    words = ["run", str(job_file(tmp_path)), "--on", "aws", "--show", "--instance-type", kind]
    assert main(words) == 2
    assert says in capsys.readouterr().err
    path = tuning_file(tmp_path, f'instance_type = "{kind}"')
    for more in ([], ["--in-one-job"]):
        assert main(["tune", str(path), "--on", "aws", "--show", *more]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (
            "trn1.2xlarge",
            "other chips than our images compute on (x86-64, NVIDIA): take e.g. m5.large",
        ),
        ("p3.2xlarge", "does not know the GPU of p3.2xlarge any more: take g4dn, g5 or newer"),
        ("nosuch.huge", "ec2.instance_type: the boto3 here knows no nosuch.huge for EC2"),
        ("m5.xlage", "(did you mean m5.xlarge?); a type newer than it needs"),
    ],
)
def test_an_instance_that_ec2_has_not_is_refused_before_it_is_shown(tmp_path, capsys, kind, says):
    words = ["run", str(job_file(tmp_path)), "--on", "ec2", "--show", "--instance-type"]
    assert main([*words, kind]) == 2
    assert says in capsys.readouterr().err
    assert main([*words, "u7i-12tb.224xlarge"]) == 0  # it has no price here; AWS lists it


@pytest.mark.parametrize("kind", ["ml.trn1.2xlarge", "ml.p3.2xlarge"])
def test_an_image_of_ones_own_may_compute_on_other_chips(kind):
    mine = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
    check_training(AwsPlace(image=mine, output="s3://b/o", instance_type=kind))


@pytest.mark.parametrize("use", LISTS)
def test_every_type_that_is_suggested_is_one_that_aws_lists(use):
    assert set(known_types(use)) <= set(known_values(*LISTS[use]))
    for kind in known_types(use):
        check_chips("aws.instance_type", kind)
        check_gpu("aws.instance_type", kind, IMAGE_CUDA)


def test_chips_are_told_by_the_family():
    with pytest.raises(SpecError, match="any more"):
        check_gpu("aws.instance_type", "ml.p2.xlarge", (12, 0))
    check_gpu("aws.instance_type", "ml.p3.2xlarge", (12, 4))
    check_gpu("aws.instance_type", "ml.p3.2xlarge", None)


@pytest.mark.parametrize("kind", ["ml.nosuch.large", "ml.m5.lage"])
def test_an_endpoint_on_a_type_that_aws_has_not_is_refused(tmp_path, kind):
    path = write_deployment(tmp_path, "", place=f'instance_type = "{kind}"')
    with pytest.raises(SpecError, match=re.escape(f"knows no {kind} for hosting")):
        read_deployment(path)


def test_an_image_of_another_region_is_refused_before_anybody_agrees(aws_here, here, capsys):
    words = ["run", str(job_file(here)), "--on", "aws", "--image", ELSEWHERE]
    assert main([*words, "--yes"]) == 2
    said = capsys.readouterr()
    assert "is in eu-west-1, and the job would be in us-east-1" in said.err
    assert "cost:" not in said.out
    assert not (here / "runs").exists()
    tune = ["tune", str(tuning_file(here)), "--on", "aws", "--image", ELSEWHERE, "--yes"]
    for more in ([], ["--in-one-job"]):
        assert main([*tune, *more]) == 2
        assert "AWS_REGION=eu-west-1 brings the job to the image" in capsys.readouterr().err
    assert aws_here.seen == []


@pytest.mark.parametrize("top", ["", 'kind = "batch"'])
def test_an_endpoint_s_image_of_another_region_is_refused_in_the_same_words(aws_here, here, top):
    batch = '[transform]\ninput = "s3://b/in/"\noutput = "s3://b/out/"' if top else ""
    path = write_deployment(here, batch, top=top)
    text = path.read_text().replace(IMAGE, IMAGE.replace(REGION, "eu-west-1"))
    path.write_text(text)
    done = deploy(path)
    what = "batch" if top else "endpoint"
    assert done.returncode == 2
    assert f"is in eu-west-1, and the {what} would be in us-east-1; AWS takes" in done.stderr
    assert f"AWS_REGION=eu-west-1 brings the {what} to the image" in done.stderr
    assert "cost:" not in done.stdout
    assert aws_here.seen == []


def test_an_image_that_is_not_in_ecr_is_left_to_aws(aws_here, here):
    when_created(aws_here)
    passing(aws_here)
    words = ["run", str(job_file(here)), "--on", "aws", "--yes"]
    assert main([*words, "--image", "registry.example.com/eu-west-1/mine:1"]) == 0

"""CreateTransformJob as it is sent: botocore's own model is the judge, and AWS's own rules."""

from pathlib import Path

import pytest
from plans import check_plan, validate

from contract.errors import SpecError
from control.aws.account import Account
from control.aws.endpoint.deployment import read_deployment
from control.aws.endpoint.transform_plan import plan_transform
from control.aws.endpoint.transform_request import manifest_call, request_for_transform_job

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLE = REPOSITORY / "jobs" / "dogs_batch.toml"
TOP = """
name = "dogs"
kind = "batch"
bundle = "s3://b/m.tar.gz"
"""
FULL = 'image = "1.dkr/kennel-serve-cpu:1"\nrole = "arn:aws:iam::123456789012:role/r"'
PLACES = """
input = "s3://b/photos"
output = "s3://b/out"
"""


def spec_of(folder, aws="", transform="", places=PLACES):
    path = folder / "dogs.toml"
    path.write_text(f"{TOP}[aws]\n{aws}\n[transform]\n{places}\n{transform}\n")
    return read_deployment(path)


def request_of(folder, aws="", transform="", places=PLACES):
    request = request_for_transform_job(spec_of(folder, aws, transform, places), "dogs-1")
    validate("sagemaker", "CreateTransformJob", request)
    return request


def test_the_example_is_the_plan_that_was_reviewed():
    plan = plan_transform(read_deployment(EXAMPLE), Account())
    check_plan("deploy_dogs_batch", plan.shown("dogs-batch-20261128-051500"))


def test_pictures_are_sent_whole_and_answered_by_a_line_each(tmp_path):
    request = request_of(tmp_path)
    source = request["TransformInput"]
    assert source["DataSource"]["S3DataSource"] == {
        "S3DataType": "S3Prefix",
        "S3Uri": "s3://b/photos/",  # without the slash it would mean photos2/, too
    }
    assert (source["ContentType"], source["SplitType"]) == ("application/x-image", "None")
    assert request["TransformOutput"] == {
        "S3OutputPath": "s3://b/out/dogs-1",
        "Accept": "application/jsonlines",
        "AssembleWith": "None",
    }
    assert "MaxConcurrentTransforms" not in request  # the server says it itself
    assert "DataProcessing" not in request
    tags = {one["Key"]: one["Value"] for one in request["Tags"]}
    assert (tags["kennel:name"], tags["kennel:kind"]) == ("dogs", "transform")


def test_everything_that_can_be_said_is_what_awss_model_allows(tmp_path):
    request = request_of(
        tmp_path,
        'instance_type = "ml.c5.xlarge"\ninstance_count = 3\nkms_key = "k"\n'
        'subnets = ["subnet-1"]\nsecurity_groups = ["sg-1"]\n[aws.tags]\nteam = "dogs"',
        'content_type = "application/jsonlines"\nsplit = "Line"\nstrategy = "MultiRecord"\n'
        'join = true\ninput_filter = "$.image"\noutput_filter = "$"\nmax_concurrent = 50\n'
        "max_payload_mb = 2\ntimeout_seconds = 30\nretries = 0",
    )
    assert request["DataProcessing"] == {
        "InputFilter": "$.image",
        "OutputFilter": "$",
        "JoinSource": "Input",
    }
    assert request["TransformOutput"]["AssembleWith"] == "Line"
    assert request["ModelClientConfig"] == {
        "InvocationsTimeoutInSeconds": 30,
        "InvocationsMaxRetries": 0,
    }
    assert request["TransformResources"] == {
        "InstanceType": "ml.c5.xlarge",
        "InstanceCount": 3,
        "VolumeKmsKeyId": "k",
    }
    assert request["TransformOutput"]["KmsKeyId"] == "k"


def test_our_server_takes_as_many_and_waits_as_long_as_the_job_asks_for(tmp_path):
    from serve.settings import read_settings

    request = request_of(
        tmp_path, transform="max_concurrent = 100\nmax_payload_mb = 1\ntimeout_seconds = 900"
    )
    settings = read_settings(request["Environment"])
    assert settings.max_in_flight >= 100
    assert settings.timeout_seconds == 900
    written = '[aws.environment]\nSAGEMAKER_CONTAINER_LOG_LEVEL = "10"'
    assert "SAGEMAKER_CONTAINER_LOG_LEVEL" not in request_of(tmp_path, written)["Environment"]


@pytest.mark.parametrize(
    ("given", "uri", "kind"),
    [
        ("s3://b/photos/one.jpg", "s3://b/photos/one.jpg", "S3Prefix"),
        ("s3://b/photos/v1.2/", "s3://b/photos/v1.2/", "S3Prefix"),
        ("s3://b/photos.v2", "s3://b/photos.v2/", "S3Prefix"),
        ("s3://b/records.rec", "s3://b/records.rec", "S3Prefix"),
        ("s3://b", "s3://b/", "S3Prefix"),
        ("s3://b/list.manifest", "s3://b/list.manifest", "ManifestFile"),
    ],
)
def test_the_input_is_a_folder_one_object_or_a_manifest(tmp_path, given, uri, kind):
    places = f'input = "{given}"\noutput = "s3://b/out"\n'
    source = request_of(tmp_path, places=places)["TransformInput"]["DataSource"]["S3DataSource"]
    assert source == {"S3DataType": kind, "S3Uri": uri}


def test_only_pictures_sends_a_manifest_that_the_job_reads(tmp_path):
    spec = spec_of(tmp_path, transform="only_pictures = true")
    source = request_for_transform_job(spec, "dogs-1")["TransformInput"]["DataSource"]
    shown = plan_transform(spec_of(tmp_path, FULL, "only_pictures = true"), Account()).shown("d")
    assert [one.operation for one in shown] == ["PutObject", "CreateModel", "CreateTransformJob"]
    put = manifest_call(spec.transform, "dogs-1", b"[]").parameters
    validate("s3", "PutObject", put)
    assert source["S3DataSource"] == {
        "S3DataType": "ManifestFile",
        "S3Uri": f"s3://{put['Bucket']}/{put['Key']}",
    }


def test_a_gpu_gets_the_newest_driver_of_batch_transform_when_the_image_runs_on_it(tmp_path):
    aws = 'instance_type = "ml.g4dn.xlarge"\ncuda = "12.4"\nimage = "1.dkr/mine:1"'
    resources = request_of(tmp_path, aws)["TransformResources"]
    assert resources["TransformAmiVersion"] == "al2-ami-sagemaker-batch-gpu-535"
    with pytest.raises(SpecError, match=r"knows CUDA 12\.2 and the image has 13\.0: take a CPU"):
        request_of(tmp_path, 'instance_type = "ml.g4dn.xlarge"')
    named = request_of(tmp_path, 'instance_type = "ml.g4dn.xlarge"', 'ami = "newer-1"')
    assert named["TransformResources"]["TransformAmiVersion"] == "newer-1"


@pytest.mark.parametrize(
    ("transform", "says"),
    [
        ("[capture]\ns3 = 's3://b/c'", 'kind = "batch" ends by itself'),
        ("[update]", 'kind = "batch" ends by itself'),
        ("max_concurrent = 11", "at most 100 MB under way, got 11 x 10 = 110"),
        ('strategy = "MultiRecord"', 'give split = "Line" or "RecordIO"'),
        ('split = "TFRecord"', "None | Line | RecordIO"),
        ("join = true", "the answers to pictures are joined by their objects' names"),
        (
            'content_type = "text/csv"\nsplit = "Line"\njoin = true',
            "expected accept = content_type",
        ),
        ('input_filter = "image"', "a JSONPath of at most 63 characters"),
        ("max_payload_mb = 101", "a whole number from 1 to 100"),
        ("retries = 4", "a whole number from 0 to 3"),
        ("timeout_seconds = 3601", "a whole number from 1 to 3600"),
        ("max_paylod_mb = 3", "did you mean 'max_payload_mb'?"),
        ('only_pictures = true\nsplit = "Line"', "one picture each"),
        ('format = "xlsx"', "csv | jsonl"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_in_the_file(tmp_path, transform, says):
    with pytest.raises(SpecError) as caught:
        spec_of(tmp_path, transform=transform)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "dogs.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["input", "output"])
def test_a_batch_without_a_place_is_told_what_to_write(tmp_path, missing):
    places = "".join(line + "\n" for line in PLACES.split("\n") if not line.startswith(missing))
    with pytest.raises(SpecError, match=rf"transform\.{missing}: expected where"):
        spec_of(tmp_path, places=places)

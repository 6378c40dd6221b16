"""kennel deploy makes an endpoint: against moto over HTTP, with failures and interruptions."""

import io
import json
import tarfile

import pytest
from aws_front import ACCOUNT, REGION, Refusal
from endpoints import (
    BUCKET,
    IMAGE,
    deploy,
    fixed_bundle,
    put_bucket,
    put_log,
    typed,
    write_deployment,
)

from control.cli import main

FAILED = {
    "EndpointStatus": "Failed",
    "FailureReason": "The primary container for production variant main did not pass the ping "
    "health check. Please check CloudWatch logs for this endpoint.",
}
MAKING = ("CreateModel", "CreateEndpointConfig", "CreateSchedule", "CreateEndpoint")


def names(aws, listing, key, name):
    return [one[name] for one in getattr(aws.client("sagemaker"), listing)()[key]]


def test_an_endpoint_is_made_waited_for_and_told_of(aws_here, tmp_path):
    s3 = put_bucket(aws_here)
    aws_here.stages("DescribeEndpoint", {"EndpointStatus": "Creating"}, {})
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "cost:    1 x ml.m5.large, endpoint dogs, variant main" in done.stdout
    assert "status:  Creating\nstatus:  InService\n" in done.stdout
    assert "next:    kennel predict PICTURE --endpoint dogs" in done.stdout
    (key,) = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    packed = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["bundle.json", "model.bin", "model.safetensors", "model.xml"]
        assert tar.extractfile("model.safetensors").read() == b"weights"
    (model,) = aws_here.calls("CreateModel")
    assert model["PrimaryContainer"] == {
        "Image": IMAGE,
        "ModelDataUrl": f"s3://{BUCKET}/{key}",
    }
    endpoint = aws_here.client("sagemaker").describe_endpoint(EndpointName="dogs")
    assert (
        endpoint["EndpointConfigName"]
        == aws_here.calls("CreateEndpointConfig")[0]["EndpointConfigName"]
    )
    tags = {
        tag["Key"]: tag["Value"]
        for tag in aws_here.client("sagemaker").list_tags(ResourceArn=endpoint["EndpointArn"])[
            "Tags"
        ]
    }
    assert tags["kennel:name"] == "dogs"
    schedule = aws_here.client("scheduler").get_schedule(Name="kennel-endpoint-dogs")
    assert json.loads(schedule["Target"]["Input"]) == {"EndpointName": "dogs"}
    assert schedule["ScheduleExpression"] == f"at({tags['kennel:expires'].removesuffix('+00:00')})"


def test_the_schedule_stands_before_the_endpoint(aws_here, tmp_path):
    put_bucket(aws_here)
    assert deploy(write_deployment(tmp_path)).returncode == 0
    order = [one.operation for one in aws_here.seen if one.operation in MAKING]
    assert order == list(MAKING)


def test_what_is_shown_is_what_is_sent(aws_here, tmp_path):
    put_bucket(aws_here)
    path = write_deployment(tmp_path, '[update]\nalarms = "auto"')
    asked = typed("deploy", path, "--show")
    shown = json.loads(asked.stdout)
    assert "new: with --update it is shown how dogs changes" in asked.stderr
    aws_here.forget()
    assert deploy(path).returncode == 0
    for one in shown:
        if one["service"] in ("sagemaker",):
            (sent,) = aws_here.calls(one["operation"])
            without = [
                {k: v for k, v in p.items() if k != "Tags"} for p in (sent, one["parameters"])
            ]
            assert without[0] == without[1]
    assert len(aws_here.calls("PutMetricAlarm")) == 2


def test_the_same_command_again_changes_nothing(aws_here, tmp_path):
    put_bucket(aws_here)
    path = write_deployment(tmp_path)
    assert deploy(path).returncode == 0
    aws_here.forget()
    again = typed("deploy", path)  # nothing is billed anew, so nobody has to agree
    assert again.returncode == 0, again.stderr
    assert "nothing was changed" in again.stdout
    asking = ("Describe", "Get", "List")
    assert [one for one in aws_here.seen if not one.operation.startswith(asking)] == []


def test_json_has_stdout_for_itself(aws_here, tmp_path):
    put_bucket(aws_here)
    done = deploy(write_deployment(tmp_path), "-o", "json")
    told = json.loads(done.stdout)
    assert (told["endpoint"], told["change"], told["status"]) == ("dogs", "created", "InService")
    assert told["costs"][0]["hours"] == 4
    assert "status:  InService" in done.stderr


def test_nobody_agreed_so_nothing_is_made(aws_here, tmp_path):
    put_bucket(aws_here)
    done = typed("deploy", write_deployment(tmp_path))
    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert not {"PutObject", *MAKING} & {one.operation for one in aws_here.seen}


def test_a_failure_shows_the_log_says_what_to_do_and_cleans_up(aws_here, tmp_path):
    put_bucket(aws_here)
    put_log(aws_here, "loading", "FileNotFoundError: model.xml")
    aws_here.stages("DescribeEndpoint", {"EndpointStatus": "Creating"}, FAILED)
    path = write_deployment(tmp_path)
    done = deploy(path)
    assert done.returncode == 1
    assert "         FileNotFoundError: model.xml" in done.stdout
    assert done.stdout.splitlines()[-2:] == [
        f"next:    kennel doctor {path}",
        "         aws logs tail /aws/sagemaker/Endpoints/dogs --since 1h",
    ]
    assert "did not pass the ping health check" in done.stderr
    assert "startup_seconds" in done.stderr
    assert "removed again" in done.stderr
    assert names(aws_here, "list_endpoints", "Endpoints", "EndpointName") == []
    assert names(aws_here, "list_models", "Models", "ModelName") == []
    assert names(aws_here, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName") == []
    assert aws_here.client("scheduler").list_schedules()["Schedules"] == []


def test_a_failure_may_be_kept_and_is_made_anew_by_the_next_command(aws_here, tmp_path):
    put_bucket(aws_here)
    aws_here.stages("DescribeEndpoint", FAILED)
    path = write_deployment(tmp_path)
    kept = deploy(path, "--keep")
    assert kept.returncode == 1
    assert "kennel cleanup dogs" in kept.stderr
    assert names(aws_here, "list_endpoints", "Endpoints", "EndpointName") == ["dogs"]
    aws_here.stages("DescribeEndpoint", FAILED, {})
    again = deploy(path)
    assert again.returncode == 0, again.stderr
    assert "failed before" in again.stdout
    assert len(aws_here.calls("DeleteEndpoint")) == 1


def test_a_refused_endpoint_leaves_nothing_half_made(aws_here, tmp_path):
    put_bucket(aws_here)
    limit = (
        "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances, with "
        "current utilization of 0 Instances and a request delta of 1 Instances."
    )
    aws_here.fail("CreateEndpoint", "ResourceLimitExceeded", limit)
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 1
    assert "ml.m5.large for endpoint usage" in done.stderr
    assert "kennel doctor" in done.stderr
    assert names(aws_here, "list_models", "Models", "ModelName") == []
    assert aws_here.client("scheduler").list_schedules()["Schedules"] == []


def test_what_aws_has_not_heard_of_yet_is_asked_for_again(aws_here, tmp_path):
    put_bucket(aws_here)
    aws_here.fail(
        "CreateEndpointConfig", "ValidationException", "Could not find model 'arn:..'.", times=2
    )
    aws_here.fail(
        "CreateEndpoint", "ValidationException", "Could not find endpoint configuration 'x'."
    )
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(aws_here.calls("CreateEndpointConfig")) == 3


def test_somebody_elses_endpoint_is_left_alone(aws_here, tmp_path):
    put_bucket(aws_here)
    path = write_deployment(tmp_path)
    assert deploy(path).returncode == 0
    client = aws_here.client("sagemaker")
    arn = client.describe_endpoint(EndpointName="dogs")["EndpointArn"]
    client.delete_tags(ResourceArn=arn, TagKeys=["kennel:name"])
    aws_here.forget()
    done = deploy(path, "--instance-type", "ml.m5.xlarge")
    assert done.returncode == 2
    assert "kennel did not make it" in done.stderr
    assert not {"UpdateEndpoint", "DeleteEndpoint"} & {one.operation for one in aws_here.seen}


@pytest.mark.parametrize("damage", ["missing", "changed", "manifest"])
def test_a_damaged_bundle_is_not_uploaded(aws_here, tmp_path, capsys, damage):
    path = write_deployment(tmp_path)
    if damage == "missing":
        (tmp_path / "bundle" / "model.bin").unlink()
    elif damage == "changed":
        (tmp_path / "bundle" / "model.bin").write_bytes(b"other")
    else:
        (tmp_path / "bundle" / "bundle.json").unlink()
    assert main(["deploy", str(path), "--yes"]) == 1
    said = capsys.readouterr().err
    assert ("bundle.json" if damage == "manifest" else "model.bin") in said
    assert aws_here.seen == []


def test_the_image_is_the_one_that_was_pushed_last(aws_here, tmp_path):
    put_bucket(aws_here)
    path = write_deployment(tmp_path)
    path.write_text(path.read_text().replace(f'image = "{IMAGE}"\n', ""))
    missing = deploy(path)
    assert missing.returncode == 1
    assert "./build_and_push.sh serve-cpu" in missing.stderr
    digest = "sha256:" + "1f" * 32
    details = {"imageDigest": digest, "imageTags": ["latest"], "imageSizeInBytes": 1000}
    aws_here.answer("DescribeImages", {"imageDetails": [details]})
    assert deploy(path).returncode == 0
    registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    (model,) = aws_here.calls("CreateModel")
    assert model["PrimaryContainer"]["Image"] == f"{registry}/kennel-serve-cpu@{digest}"

    def denied(_):
        raise Refusal("AccessDeniedException", "not authorized to perform: ecr:DescribeImages")

    aws_here.answer("DescribeImages", denied)
    shown = json.loads(typed("deploy", path, "--show").stdout)
    assert shown[1]["parameters"]["PrimaryContainer"]["Image"].endswith("kennel-serve-cpu:latest")


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json"}, "refuses"),
        ({"imageSizeInBytes": 11 * 1024**3}, "a serverless endpoint takes 10"),
    ],
)
def test_an_image_that_sagemaker_would_refuse_is_refused_before(aws_here, tmp_path, details, words):
    path = write_deployment(tmp_path, top='kind = "serverless"')
    path.write_text(path.read_text().replace(f'image = "{IMAGE}"\n', ""))
    digest = "sha256:" + "1f" * 32
    aws_here.answer("DescribeImages", {"imageDetails": [{"imageDigest": digest, **details}]})
    done = deploy(path)
    assert done.returncode == 1
    assert words in done.stderr


def test_a_model_in_s3_is_taken_as_it_is(aws_here, tmp_path):
    done = deploy(write_deployment(tmp_path, bundle=f"s3://{BUCKET}/theirs/model.tar.gz"))
    assert done.returncode == 0, done.stderr
    assert aws_here.calls("PutObject") == []
    (model,) = aws_here.calls("CreateModel")
    assert model["PrimaryContainer"]["ModelDataUrl"] == f"s3://{BUCKET}/theirs/model.tar.gz"


def test_an_archive_is_uploaded_as_it_is(aws_here, tmp_path):
    s3 = put_bucket(aws_here)
    folder = fixed_bundle(tmp_path / "inside")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        for path in folder.iterdir():
            tar.add(path, path.name)
    assert deploy(write_deployment(tmp_path, bundle="model.tar.gz")).returncode == 0
    (key,) = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    sent = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert sent == (tmp_path / "model.tar.gz").read_bytes()


def test_a_bundle_that_is_there_is_not_uploaded_again(aws_here, tmp_path):
    put_bucket(aws_here)
    path = write_deployment(tmp_path)
    assert deploy(path).returncode == 0
    aws_here.forget()
    aws_here.client("sagemaker").delete_endpoint(EndpointName="dogs")
    done = deploy(path)
    assert "is there already" in done.stdout
    assert aws_here.calls("PutObject") == []


def test_who_may_not_list_the_bucket_may_upload_all_the_same(aws_here, tmp_path):
    put_bucket(aws_here)
    aws_here.fail("HeadObject", "403", status=403)
    done = deploy(write_deployment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(aws_here.calls("PutObject")) == 1

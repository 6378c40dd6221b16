"""`kennel doctor FILE`: each line is fine, or says what to do."""

import contextlib
import json

import pytest
from aws_examined import (
    DOCKER,
    INDEX,
    OCI,
    answer_image,
    answer_quotas,
    configuration,
    endpoint_file,
    job_file,
    packed,
)
from aws_front import Refusal
from aws_world import put_role
from serving import colour_bundle, free_port

from control.aws.house.check_account import trusts
from control.cli import main


@pytest.fixture
def here(tmp_path):
    """Work in an empty folder."""
    with contextlib.chdir(tmp_path):
        yield tmp_path


@pytest.fixture
def account(aws_here, here):
    """An account in which everything that a job wants is there; `aws` and the folder."""
    put_role(aws_here, "kennel-training", "sagemaker.amazonaws.com")
    put_role(aws_here, "kennel-endpoint", "sagemaker.amazonaws.com")
    s3 = aws_here.client("s3")
    s3.create_bucket(Bucket="pictures")
    s3.put_object(Bucket="pictures", Key="train/cat/a.png", Body=b"x")
    answer_quotas(aws_here)
    with configuration("amd64") as url:
        answer_image(aws_here, DOCKER, url)
        yield aws_here


def doctor(capsys, *words):
    """Exit code, and the checks that concern AWS, by name."""
    code = main(["doctor", *map(str, words), "-o", "json"])
    checks = json.loads(capsys.readouterr().out)
    assert all(set(one) == {"check", "ok", "said", "remedy"} for one in checks)
    by_name = {}
    for one in checks:
        by_name.setdefault(one["check"], []).append(one)
    return code, by_name


def test_a_job_that_can_run_is_fine_line_by_line(account, here, capsys):
    code, checks = doctor(capsys, job_file(here))
    assert code == 0
    for name in ("credentials", "region", "role", "quota", "image", "bucket", "data", "boto3"):
        assert [one["ok"] for one in checks[name]] == [True], checks[name]
    assert "linux/amd64" in checks["image"][0]["said"]
    assert main(["doctor", str(job_file(here))]) == 0
    shown = capsys.readouterr().out
    assert "fine   quota" in shown
    assert shown.endswith("nothing to do\n")


def test_a_quota_of_zero_names_the_types_that_are_allowed_and_the_command(account, here, capsys):
    code, checks = doctor(capsys, job_file(here, "ml.g4dn.xlarge", count=2))
    assert code == 1
    (quota,) = checks["quota"]
    assert "ml.g4dn.xlarge for training job usage: 0, 2 wanted" in quota["said"]
    assert "allowed now: ml.g5.xlarge (4, $1.408 an hour)" in quota["said"]
    assert "m5" not in quota["said"]  # no GPU
    assert quota["remedy"] == (
        "aws service-quotas request-service-quota-increase --service-code sagemaker "
        "--quota-code L-00000003 --desired-value 2 --region us-east-1"
    )


def test_where_no_gpu_is_allowed_the_types_without_are_named(account, here, capsys):
    _, checks = doctor(capsys, endpoint_file(here, colour_bundle(), "ml.g4dn.xlarge"))
    said = checks["quota"][0]["said"]
    assert "0, 1 wanted; no other type with a GPU is allowed now; without: ml.m5.large (3, " in said
    _, checks = doctor(capsys, job_file(here, "ml.g4dn.xlarge", count=99))
    assert checks["quota"][0]["said"].endswith("no other type with a GPU is allowed now")


def test_spot_is_another_quota_that_may_be_among_the_defaults(account, here, capsys):
    name = "ml.m5.xlarge for spot training job usage"
    default = {"QuotaName": name, "QuotaCode": "L-SPOT0001", "Value": 0.0}
    account.answer("ListAWSDefaultServiceQuotas", {"Quotas": [default]})
    path = job_file(here)
    path.write_text(path.read_text().replace("[aws]\n", "[aws]\nspot = true\n"))
    code, checks = doctor(capsys, path)
    assert code == 1
    assert "L-SPOT0001" in checks["quota"][0]["remedy"]


def test_what_may_not_be_looked_at_is_a_note(account, here, capsys):
    denied = "User: arn:aws:iam::1:user/x is not authorized to perform: iam:GetRole"
    account.fail("GetRole", "AccessDenied", denied, status=403)
    code, checks = doctor(capsys, job_file(here))
    assert code == 0
    assert checks["role"][0]["ok"] is None
    assert "iam:GetRole" in checks["role"][0]["said"]


def test_a_missing_role_and_one_that_trusts_somebody_else(account, here, capsys):
    account.client("iam").delete_role_policy(RoleName="kennel-training", PolicyName="kennel")
    account.client("iam").delete_role(RoleName="kennel-training")
    code, checks = doctor(capsys, job_file(here))
    remedy = f"kennel iam create {here / 'dogs.toml'}"
    assert (code, checks["role"][0]["remedy"]) == (1, remedy)
    assert "kennel-training does not exist" in checks["role"][0]["said"]
    put_role(account, "kennel-training", "lambda.amazonaws.com")
    code, checks = doctor(capsys, job_file(here))
    assert code == 1
    assert "does not trust sagemaker.amazonaws.com" in checks["role"][0]["said"]


@pytest.mark.parametrize(
    ("media_type", "architecture", "says"),
    [
        (OCI, "amd64", "is an OCI manifest: CreateModel takes Docker's"),
        (INDEX, "amd64", "is an index of several platforms: CreateModel takes Docker's"),
        (DOCKER, "arm64", "is for linux/arm64, and the machines are linux/amd64"),
    ],
)
def test_an_image_that_sagemaker_refuses(media_type, architecture, says, account, here, capsys):
    with configuration(architecture) as url:
        answer_image(account, media_type, url)
        code, checks = doctor(capsys, endpoint_file(here, colour_bundle()))
    assert code == 1
    assert says in checks["image"][0]["said"]
    assert checks["image"][0]["remedy"] == "./build_and_push.sh serve-cpu"


def test_an_image_that_was_never_pushed(account, here, capsys):
    account.answer("BatchGetImage", {"images": [], "failures": []})
    code, checks = doctor(capsys, job_file(here))
    assert (code, checks["image"][0]["remedy"]) == (1, "./build_and_push.sh train")

    def missing(_):
        raise Refusal("RepositoryNotFoundException", "The repository does not exist")

    account.answer("BatchGetImage", missing)
    code, checks = doctor(capsys, job_file(here))
    assert code == 1
    assert "ECR has no repository kennel-train" in checks["image"][0]["said"]


def test_an_empty_channel_and_a_bucket_that_is_not_there(account, here, capsys):
    account.client("s3").delete_object(Bucket="pictures", Key="train/cat/a.png")
    code, checks = doctor(capsys, job_file(here))
    assert code == 1
    assert checks["data"][0]["remedy"] == "kennel data push DIR s3://pictures/train/"
    path = job_file(here)
    path.write_text(path.read_text().replace("s3://pictures/out", "s3://nowhere/out"))
    code, checks = doctor(capsys, path)
    assert [one["said"] for one in checks["bucket"] if not one["ok"]] == ["nowhere does not exist"]


def test_a_bucket_in_another_region_is_said(account, here, capsys):
    account.client("s3").create_bucket(
        Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    path = job_file(here)
    path.write_text(path.read_text().replace("s3://pictures/out", "s3://far/out"))
    code, checks = doctor(capsys, path)
    assert code == 1
    assert "far is in eu-west-1, and the work in us-east-1" in str(checks["bucket"])


def test_a_bucket_of_somebody_else_says_what_to_do(account, here, capsys):
    account.fail("HeadBucket", "Forbidden", status=403)
    code, checks = doctor(capsys, job_file(here))
    (bucket,) = checks["bucket"]
    assert (code, bucket["ok"]) == (1, False)
    assert "somebody else's, or may not be looked at" in bucket["said"]
    assert bucket["remedy"].startswith("aws s3 ls")


def test_a_bundle_is_looked_into_here_and_in_s3(account, here, capsys):
    s3 = account.client("s3")
    s3.put_object(Bucket="pictures", Key="good/model.tar.gz", Body=packed(""))
    s3.put_object(Bucket="pictures", Key="deep/model.tar.gz", Body=packed("model/"))
    s3.put_object(Bucket="pictures", Key="torn/model.tar.gz", Body=packed("")[:900])
    for bundle, is_ok in (
        (colour_bundle(), True),
        ("s3://pictures/good/model.tar.gz", True),
        ("s3://pictures/deep/model.tar.gz", False),
        ("s3://pictures/torn/model.tar.gz", False),
        ("s3://pictures/none/model.tar.gz", False),
        (here, False),
    ):
        code, checks = doctor(capsys, endpoint_file(here, bundle))
        assert [one["ok"] for one in checks["bundle"]] == [is_ok], bundle
        assert code == (0 if is_ok else 1), checks


def test_a_gpu_endpoint_says_which_cuda_meets_which_host(account, here, capsys):
    code, checks = doctor(capsys, endpoint_file(here, colour_bundle(), "ml.g4dn.xlarge"))
    assert code == 1  # its quota
    assert "CUDA 13.0 on host image al2023-ami-sagemaker-inference-gpu-4-1" in str(checks["cuda"])
    assert "kennel-serve:latest" in checks["image"][0]["said"]


def test_pictures_above_the_endpoints_limit_are_counted(account, here, capsys):
    (here / "photos").mkdir()
    (here / "photos" / "small.jpg").write_bytes(b"x")
    (here / "photos" / "large.jpg").write_bytes(b"x" * (6 * 1024**2 + 1))
    path = endpoint_file(here, colour_bundle())
    code, checks = doctor(capsys, path, "--pictures", here / "photos")
    assert code == 0
    assert "1 of 2 files are above 6 MB, the largest 6.3 MB" in checks["payload"][0]["said"]


def test_without_credentials_there_are_facts_and_notes_and_a_file_wants_them(aws, here):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del aws.environment[name]
    done = aws.kennel("doctor", cwd=here)
    assert done.returncode == 0
    assert done.stdout.startswith("python  ")
    assert "note   credentials    nothing in AWS now: AWS cannot tell who you are" in done.stdout
    done = aws.kennel("doctor", job_file(here), cwd=here)
    assert done.returncode == 1
    assert "to do  credentials" in done.stdout
    assert "-> aws configure, or aws sso login" in done.stdout
    assert done.stdout.endswith("1 to do\n")


def test_a_network_that_leads_nowhere_is_not_a_login(aws, here):
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = aws.kennel("doctor", job_file(here), cwd=here, AWS_ENDPOINT_URL=nowhere)
    assert done.returncode == 1
    assert "to do  network" in done.stdout
    assert "-> check the network" in done.stdout
    assert "aws configure" not in done.stdout
    done = aws.kennel("doctor", job_file(here), cwd=here, AWS_REGION="us east")
    assert "to do  region" in done.stdout
    assert "-> aws configure set region us-east-1" in done.stdout


def test_a_wrong_file_is_one_line(here, capsys):
    path = job_file(here, more='[aws.tags]\n"kennel:name" = "x"\n')
    assert main(["doctor", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("statement", "is_trusted"),
    [
        ({"Effect": "Allow", "Principal": {"Service": "a"}, "Action": "sts:AssumeRole"}, True),
        (
            {"Effect": "Allow", "Principal": {"Service": ["b", "a"]}, "Action": ["sts:AssumeRole"]},
            True,
        ),
        ({"Effect": "Deny", "Principal": {"Service": "a"}, "Action": "sts:AssumeRole"}, False),
        ({"Effect": "Allow", "Principal": {"AWS": "a"}, "Action": "sts:AssumeRole"}, False),
        ({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}, False),
    ],
)
def test_a_trust_policy_is_read(statement, is_trusted):
    assert trusts({"Statement": [statement]}, "a") is is_trusted
    assert trusts({"Statement": statement}, "a") is is_trusted

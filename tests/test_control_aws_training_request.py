"""CreateTrainingJob as it is sent: botocore's own model is the judge, and what AWS documents."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from plans import check_plan, validate
from training_jobs import job_file

from contract.channel_files import is_file_name
from contract.errors import ChannelError, SpecError
from contract.metrics import format_metric
from control.aws.account import Account
from control.aws.job.plan import plan_training
from control.aws.job.training_request import limit_of, request_for_training_job, training_parts
from control.aws_place import AwsPlace
from control.cli import main
from control.job_spec import Overrides, channel_source, read_job_spec
from control.s3 import S3Uri

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLE = REPOSITORY / "jobs" / "dogs_aws.toml"
EVERYTHING = """
instance_type = "ml.g4dn.xlarge"
instance_count = 2
volume_gb = 100
spot = true
subnets = ["subnet-1", "subnet-2"]
security_groups = ["sg-1"]
network_isolation = true
encrypt_between_hosts = true
kms_key = "arn:aws:kms:us-east-1:123456789012:key/1"
"""


def request_of(path: Path) -> dict:
    spec = read_job_spec(path, in_aws=True)
    return request_for_training_job(spec, spec.aws, "dogs-1")


def test_the_example_is_the_plan_that_was_reviewed():
    spec = read_job_spec(EXAMPLE, in_aws=True)
    plan = plan_training(spec, Account())
    check_plan("run_dogs_aws", plan.calls)
    assert plan.name == plan.calls[-1].parameters["TrainingJobName"]


def test_everything_that_aws_can_be_asked_for_is_what_its_model_allows(tmp_path):
    request = request_of(job_file(tmp_path, EVERYTHING, "[rules.Overfit]\n[profiler]\n"))
    validate("sagemaker", "CreateTrainingJob", request)
    assert request["VpcConfig"] == {
        "Subnets": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }
    assert request["EnableNetworkIsolation"] is True
    assert request["EnableInterContainerTrafficEncryption"] is True
    assert request["OutputDataConfig"]["KmsKeyId"].endswith("key/1")
    assert request["ResourceConfig"]["InstanceCount"] == 2
    assert {"DebugHookConfig", "DebugRuleConfigurations", "ProfilerConfig"} <= request.keys()
    tags = {one["Key"]: one["Value"] for one in request["Tags"]}
    assert tags["kennel:name"] == "dogs"
    assert tags["kennel:kind"] == "training"


@pytest.mark.parametrize(
    ("kind", "is_sent"),
    [
        ("ml.m5.xlarge", True),
        ("ml.p3.2xlarge", True),
        ("ml.c5.4xlarge", True),
        ("ml.g4dn.xlarge", False),
        ("ml.g5.xlarge", False),
        ("ml.p4d.24xlarge", False),
        ("ml.m5d.large", False),
        ("ml.trn1.2xlarge", False),
    ],
)
def test_a_machine_that_encrypts_its_own_disk_gets_no_key_for_it(kind, is_sent):
    place = AwsPlace(output="s3://b/o", instance_type=kind, kms_key="key")
    parts = training_parts(place, {}, 60)
    assert ("VolumeKmsKeyId" in parts["ResourceConfig"]) is is_sent
    assert parts["OutputDataConfig"]["KmsKeyId"] == "key"


def test_a_spot_job_has_checkpoints_of_its_own_and_may_wait(tmp_path):
    request = request_of(job_file(tmp_path, "spot = true"))
    assert request["CheckpointConfig"]["S3Uri"] == "s3://kennel-test/out/dogs-1/checkpoints"
    assert request["CheckpointConfig"]["LocalPath"] == "/opt/ml/checkpoints"
    assert request["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 1800,
        "MaxWaitTimeInSeconds": 3600,
    }
    assert request["EnableManagedSpotTraining"] is True


def test_a_job_on_demand_has_checkpoints_only_where_the_file_wants_them(tmp_path):
    plain = request_of(job_file(tmp_path))
    assert "CheckpointConfig" not in plain
    assert plain["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800}
    kept = request_of(job_file(tmp_path, 'checkpoints = "s3://kennel-test/kept/"'))
    assert kept["CheckpointConfig"]["S3Uri"] == "s3://kennel-test/kept"


def test_a_wait_shorter_than_the_run_is_refused():
    place = AwsPlace(output="s3://b/o", spot=True, max_wait_seconds=60)
    with pytest.raises(SpecError, match="expected at least the 61 s of max_run_seconds, got 60"):
        limit_of(place, 61)
    assert limit_of(place, 60) == 60
    assert limit_of(AwsPlace(output="s3://b/o", spot=True), 28 * 86_400) == 28 * 86_400


def test_metric_regexes_find_what_training_prints(tmp_path):
    request = request_of(job_file(tmp_path))
    listed = request["AlgorithmSpecification"]["MetricDefinitions"]
    for one in listed:
        assert re.findall(one["Regex"], format_metric(one["Name"], 0.25)) == ["0.250000"]
    assert "validation:accuracy" in {one["Name"] for one in listed}


def test_channels_in_aws_beat_those_of_this_machine(tmp_path):
    more = '[channels]\ntrain = "nowhere"\ntest = "s3://other/test"\n'
    spec = read_job_spec(job_file(tmp_path, more=more), in_aws=True)
    assert {name: str(one) for name, one in spec.channels.items()} == {
        "train": "s3://kennel-test/train/",
        "test": "s3://other/test/",
    }
    given = Overrides(channels={"train": channel_source("s3://mine/train")})
    assert read_job_spec(job_file(tmp_path), given, in_aws=True).channels["train"] == S3Uri(
        "mine", "train/"
    )


def test_a_channel_on_this_machine_is_refused_with_the_command_that_uploads_it(tmp_path):
    path = job_file(tmp_path, more='[channels]\npretrained = "weights"\n')
    with pytest.raises(ChannelError) as refused:
        read_job_spec(path, in_aws=True)
    assert f"`kennel data push {tmp_path}/weights s3://kennel-test/dogs/pretrained`" in str(
        refused.value
    )
    assert "\n" not in str(refused.value)


def test_a_file_without_a_place_in_aws_says_what_is_missing(tmp_path):
    path = tmp_path / "plain.toml"
    path.write_text('[channels]\ntrain = "s3://b/train"\n')
    with pytest.raises(SpecError, match=r'needs a table \[aws\].*output = "s3://BUCKET/kennel"'):
        read_job_spec(path, in_aws=True)


def test_a_job_with_a_place_in_aws_still_runs_here(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"png")
    path = job_file(tmp_path, more='[channels]\ntrain = "pictures"\n')
    assert read_job_spec(path).channels == {"train": tmp_path / "pictures"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("spots = true", "did you mean 'spot'"),
        ('checkpoints = "here"', "aws.checkpoints: expected s3://BUCKET/PREFIX, got 'here'"),
        ("instance_count = 0", "aws.instance_count: expected a whole number from 1 to 100, got 0"),
        ('subnets = ["subnet-1"]', "a VPC needs both"),
        ("max_wait_seconds = 7200", "only a job with spot = true waits"),
    ],
)
def test_a_wrong_place_is_refused_in_one_line(line, says, tmp_path):
    with pytest.raises(SpecError) as refused:
        read_job_spec(job_file(tmp_path, line), in_aws=True)
    assert says in str(refused.value)


def test_a_rule_of_ones_own_is_uploaded_before_the_job_is_made(tmp_path):
    (tmp_path / "mine.py").write_text("class Mine:\n    pass\n")
    path = job_file(tmp_path, more='[rules.Mine]\nsource = "mine.py"\n')
    upload, create = plan_training(read_job_spec(path, in_aws=True), Account(), at=0).calls
    assert (upload.service, upload.operation) == ("s3", "PutObject")
    validate("s3", "PutObject", dict(upload.parameters))
    validate("sagemaker", "CreateTrainingJob", dict(create.parameters))
    key = "out/dogs-19700101-000000/rules/mine.py"
    assert upload.parameters["Key"] == key
    assert upload.parameters["Body"] == b"class Mine:\n    pass\n"
    (rule,) = create.parameters["DebugRuleConfigurations"]
    assert rule["RuleParameters"]["source_s3_uri"] == f"s3://kennel-test/{key}"


def test_show_needs_no_account_and_prints_the_request(tmp_path, monkeypatch, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    words = ["run", str(job_file(tmp_path)), "--on", "aws", "--show", "--spot"]
    assert main([*words, "--instances", "3", "--instance-type", "ml.c5.xlarge"]) == 0
    (call,) = json.loads(capsys.readouterr().out)
    assert (call["service"], call["operation"]) == ("sagemaker", "CreateTrainingJob")
    validate("sagemaker", "CreateTrainingJob", call["parameters"])
    assert call["parameters"]["ResourceConfig"]["InstanceCount"] == 3
    assert call["parameters"]["ResourceConfig"]["InstanceType"] == "ml.c5.xlarge"
    assert call["parameters"]["EnableManagedSpotTraining"] is True
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--on", "aws", "--gpus", "all"], "--gpus all: in AWS the instance type decides"),
        (["--on", "aws", "--instances", "0"], "--instances: expected 1 to 100, got 0"),
        (["--spot"], "--spot: only a job in AWS takes it; add --on aws"),
        (["--instance-type", "ml.m5.large"], "--instance-type ml.m5.large: only a job in AWS"),
        (["--on", "awz"], "did you mean 'aws'?"),
        (["--on", "aws", "--channel", "test=here"], "`kennel data push here s3://"),
    ],
)
def test_what_a_place_has_no_use_for_is_refused(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(job_file(tmp_path)), *words]) == 2
    assert says in capsys.readouterr().err


def test_the_worst_case_is_machines_times_price_times_limit(tmp_path):
    lines = 'instance_type = "ml.m5.xlarge"\ninstance_count = 2\nspot = true'
    spec = read_job_spec(job_file(tmp_path, lines), in_aws=True)
    (cost,) = plan_training(spec, Account()).costs
    assert cost.worst == pytest.approx(2 * 0.23 * 0.5)
    assert "waiting is free" in cost.line()
    assert "1 h 00 min" in cost.line()
    unknown = replace(spec, aws=replace(spec.aws, instance_type="ml.c4.xlarge"))
    (cost,) = plan_training(unknown, Account()).costs
    assert "unknown price" in cost.line()


def test_rules_are_billed_too(tmp_path):
    spec = read_job_spec(job_file(tmp_path, more="[rules.Overfit]\n"), in_aws=True)
    _, rules = plan_training(spec, Account()).costs
    assert rules.worst == pytest.approx(0.05 * 0.5)


def test_an_isolated_job_without_weights_is_refused_before_it_costs_anything(tmp_path):
    path = job_file(tmp_path, "network_isolation = true")
    with pytest.raises(ChannelError, match=r"add a pretrained channel under \[aws.channels\]"):
        plan_training(read_job_spec(path, in_aws=True), Account())
    random = Overrides(hyperparameters={"pretrained": "false"})
    assert plan_training(read_job_spec(path, random, in_aws=True), Account()).calls
    weights = Overrides(channels={"pretrained": channel_source("s3://b/weights")})
    assert plan_training(read_job_spec(path, weights, in_aws=True), Account()).calls


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("s3://b/dogs/train", "s3://b/dogs/train/"),
        ("s3://b/dogs/train/", "s3://b/dogs/train/"),
        ("s3://b/weights.pth", "s3://b/weights.pth"),
    ],
)
def test_a_folder_never_means_its_neighbours(given, sent):
    """SageMaker takes every key that begins with the prefix."""
    parts = training_parts(AwsPlace(output="s3://b/o"), {"train": given}, 60)
    (channel,) = parts["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == sent


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("s3://b/dogs", "s3://b/dogs/"),
        ("s3://b/data.v2", "s3://b/data.v2/"),
        ("s3://b/2026.09", "s3://b/2026.09/"),
        ("s3://b/v1.5/train", "s3://b/v1.5/train/"),
        ("s3://b/old.zip/", "s3://b/old.zip/"),
        ("s3://b/dogs.v2.tar.gz", "s3://b/dogs.v2.tar.gz"),
        ("s3://b/DOGS.ZIP", "s3://b/DOGS.ZIP"),
        ("s3://b/train.manifest", "s3://b/train.manifest"),
        ("s3://b", "s3://b/"),
    ],
)
def test_a_dot_makes_no_file_of_a_folder(tmp_path, given, sent):
    """Of a file's table and of the command line; of `data.v2`, `data.v20/a.jpg` would be part."""
    overrides = Overrides(channels={"test": channel_source(given)})
    path = job_file(tmp_path, more=f'validation = "{given}"')
    spec = read_job_spec(path, overrides, in_aws=True)
    request = request_for_training_job(spec, spec.aws, "dogs-1")
    found = {
        one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"]
        for one in request["InputDataConfig"]
    }
    assert found == {"train": "s3://kennel-test/train/", "validation": sent, "test": sent}


def test_every_archive_and_list_that_training_reads_is_a_file_by_its_name():
    from train.archive import ARCHIVE_ENDINGS
    from train.augmented_manifest import MANIFEST_ENDINGS

    names = (*ARCHIVE_ENDINGS, *MANIFEST_ENDINGS, ".pth", ".safetensors", ".JPG")
    assert [name for name in names if not is_file_name(f"dogs{name}")] == []

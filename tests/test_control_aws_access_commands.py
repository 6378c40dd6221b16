"""Each command runs as somebody who may do what kennel iam show prints for it, and nothing else."""

import json

import pytest
from access import printed, stand_before, statements
from aws_examined import DOCKER, answer_image, answer_quotas, configuration
from aws_examined import job_file as examined_file
from aws_gate import allows
from aws_needs import Need
from aws_world import no_provisioned, put_role
from batch_player import Player, fill
from batch_player import file_of as batch_file
from endpoints import Updates, put_bucket, write_deployment
from lambda_account import DEPLOY, make_role, provisioning, typed
from scaled import make_endpoint
from serving import colour_bundle, picture, server
from training_jobs import BUCKET, job_file, passing, when_created
from tuning_jobs import TuningJob, tuning_file

LOOKS = (("InProgress",), ("Completed", "Completed", "Failed"))
EC2 = '\n[ec2]\nrole = "kennel-ec2"\n'
MULTI = """
name = "multi"
kind = "multi-model"
[aws]
image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-serve-cpu:1"
role = "arn:aws:iam::123456789012:role/kennel-endpoint"
expiry_role = "arn:aws:iam::123456789012:role/kennel-expiry"
[multi_model]
prefix = "s3://models/multi"
[multi_model.models]
"dogs/v1" = "{bundle}"
"""
UPDATED = '[update]\nalarms = "auto"\n[scaling]\nmin = 1\nmax = 3\ninvocations_per_instance = 10\n'


@pytest.fixture(scope="module")
def url():
    with server(colour_bundle()) as running:
        yield running.url


@pytest.fixture
def here(tmp_path, monkeypatch, aws_here):
    """An empty folder of somebody with an account."""
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def may(aws, command, *words, of=("person",)):
    """Stand before the account with the rights of one command."""
    return stand_before(aws, statements(*words, "--commands", command, of=of))


def fine(gate, *words):
    """The command does what it should; nothing was refused, and it asked for something."""
    done = typed(*words)
    assert gate.refused == []
    assert done.returncode == 0, done.stderr + done.stdout
    assert gate.used
    return done


def sids(gate):
    return {sid for sid, _ in gate.used}


def test_a_training_job(aws_here, here):
    file = job_file(here)
    when_created(aws_here)
    passing(aws_here)
    gate = may(aws_here, "run", file)
    fine(gate, "run", file, "--on", "aws", "--yes")
    assert sids(gate) == {
        *("RunTrainingJobs", "PassTrainingRole", "FindJobLogs", "ReadJobLogs"),
        *("ListPlaces", "ReadPlaces"),
    }


def test_a_study(aws_here, here):
    file = tuning_file(here)
    TuningJob(aws_here, *LOOKS)
    gate = may(aws_here, "tune", file)
    fine(gate, "tune", file, "--on", "aws", "--yes")
    assert {"RunTuningJobs", "SeeTrials", "PassTrainingRole", "ReadJobLogs"} <= sids(gate)


def test_an_instance(aws_here, here):
    file = job_file(here, more=EC2)
    aws_here.client("iam").create_instance_profile(InstanceProfileName="kennel-ec2")
    aws_here.fail("RunInstances", "InsufficientInstanceCapacity")  # after all rights were asked for
    gate = may(aws_here, "run --on ec2", file)
    typed("run", file, "--on", "ec2", "--yes")
    assert gate.refused == []
    assert {"StartInstances", "StartInstancesFrom", "TagInstances", "FindImages"} <= sids(gate)
    assert "PassInstanceRole" in sids(gate)


def test_an_endpoint_is_made_and_changed_and_asked(aws_here, here, url):
    no_provisioned(aws_here)
    put_bucket(aws_here)
    Updates(aws_here)
    file = write_deployment(here, UPDATED)
    gate = may(aws_here, "deploy", file)
    fine(gate, "deploy", file, "--yes")
    write_deployment(here, UPDATED, place="instance_count = 2")
    fine(gate, "deploy", file, "--yes")
    assert {"MakeModels", "MakeEndpoints", "PassEndpointRole", "PassExpiryRole", "Scale"} <= (
        sids(gate)
    )
    aws_here.serve_endpoints(url)
    (here / "dog.png").write_bytes(picture("red"))
    gate = may(aws_here, "predict", file)
    fine(gate, "predict", here / "dog.png", "--endpoint", "dogs")
    assert "AskEndpoints" in sids(gate)
    gate = may(aws_here, "cleanup", file)
    fine(gate, "cleanup", "dogs", "--yes")
    assert {"RemoveHosting", "RemoveScaling", "RemoveAlarms", "RemoveSchedules"} <= sids(gate)
    gate = may(aws_here, "list", file)
    fine(gate, "list", "--cost")


def test_models_of_many(aws_here, here):
    aws_here.client("s3").create_bucket(Bucket="models")
    file = here / "multi.toml"
    file.write_text(MULTI.format(bundle=colour_bundle()), encoding="utf-8")
    gate = may(aws_here, "deploy", file)
    fine(gate, "deploy", file, "--yes")
    gate = may(aws_here, "models", file)
    for where in (file, "multi"):
        fine(gate, "models", where, "list")
    fine(gate, "models", "multi", "add", "dogs/v2", "s3://models/multi/dogs/v1.tar.gz")
    fine(gate, "models", "multi", "remove", "dogs/v1", "--yes")
    assert {"SeeModels", "RemoveModelsAndData", "WritePlaces"} <= sids(gate)


def test_a_batch(aws_here, here, url):
    fill(aws_here)
    aws_here.after("CreateTransformJob", Player(aws=aws_here, url=url))
    file = batch_file(here)
    gate = may(aws_here, "deploy", file)
    fine(gate, "deploy", file, "--yes")
    assert {"RunTransforms", "MakeModels", "PassEndpointRole"} <= sids(gate)


def test_scaling_comes_and_goes(aws_here, here):
    make_endpoint(aws_here)
    aws_here.answer("DescribeScalingActivities", {"ScalingActivities": []})
    gate = may(aws_here, "scale", "--prefix", "dogs")
    fine(gate, "scale", "apply", "dogs", "--max", 3, "--invocations-per-instance", 60, "--yes")
    fine(gate, "scale", "show", "dogs")
    fine(gate, "scale", "undo", "dogs")
    assert {"Scale", "TagScaling", "SeeScaling", "SeeEndpoints"} <= sids(gate)


def test_a_function(aws_here, here):
    make_role(aws_here)
    provisioning(aws_here, "IN_PROGRESS", "READY")
    gate = may(aws_here, "lambda", "--function", "dogs")
    more = ("--url", "--ttl-hours", 2, "--provisioned-concurrency", 2, "--yes")
    fine(gate, *DEPLOY, *more)
    fine(gate, *DEPLOY, "--memory-mb", 1024)
    fine(gate, "lambda", "delete", "dogs", "--yes")
    assert {"MakeFunctions", "ReachFunctions", "KeepFunctionsReady", "FunctionLogs"} <= sids(gate)
    assert {"ScheduleFunctionDeletion", "PassLambdaRole", "PassExpiryRole"} <= sids(gate)


def test_data(aws_here, here):
    (here / "pets" / "train" / "cat").mkdir(parents=True)
    (here / "pets" / "train" / "cat" / "1.jpg").write_bytes(b"1")
    (here / "pets" / "train" / "cat" / "2.jpg").write_bytes(bytes(9 << 20))
    gate = may(aws_here, "data", "--bucket", "s3://new-pets/dogs")
    fine(gate, "data", "push", here / "pets", "s3://new-pets/dogs", "--create-bucket", "--yes")
    (here / "pets" / "train" / "cat" / "1.jpg").unlink()
    fine(gate, "data", "push", here / "pets", "s3://new-pets/dogs", "--delete", "--yes")
    assert {"MakeBuckets", "WritePlaces", "RemoveModelsAndData", "SeeBuckets"} <= sids(gate)


def test_doctor(aws_here, here):
    put_role(aws_here, "kennel-training", "sagemaker.amazonaws.com")
    s3 = aws_here.client("s3")
    s3.create_bucket(Bucket="pictures")
    s3.put_object(Bucket="pictures", Key="train/cat/a.png", Body=b"x")
    answer_quotas(aws_here)
    file = examined_file(here)
    with configuration("amd64") as address:
        answer_image(aws_here, DOCKER, address)
        gate = may(aws_here, "doctor", file)
        typed("doctor", file)
    assert gate.refused == []
    assert {"SeeRoles", "SeeQuotas", "LookIntoImages", "SeeBuckets", "ListPlaces"} <= sids(gate)


def test_an_administrator_makes_and_removes_roles(aws_here, here):
    every = statements(of=["person", "administrator"])
    gate = stand_before(aws_here, every)
    fine(gate, "iam", "create")
    fine(gate, "cleanup", "--all", "--roles", "--yes")
    assert {"MakeRoles", "MakeInstanceProfiles", "RemoveRoles", "RemoveInstanceProfiles"} <= (
        sids(gate)
    )


def test_who_is_no_administrator_makes_no_roles(aws_here, here):
    gate = stand_before(aws_here, statements())
    done = typed("iam", "create")
    assert done.returncode == 1
    assert gate.refused == ["iam:CreateRole arn:aws:iam::123456789012:role/kennel-training"]
    assert "`kennel iam show --only administrator`" in done.stderr


@pytest.mark.parametrize(
    ("lost", "action"),
    [
        ("RunTrainingJobs", "sagemaker:CreateTrainingJob"),
        ("PassTrainingRole", "iam:PassRole"),
    ],
)
def test_without_a_line_it_fails_and_says_which(aws_here, here, lost, action):
    file = job_file(here)
    kept = [one for one in statements(file, "--commands", "run") if one["Sid"] != lost]
    stand_before(aws_here, kept)
    done = typed("run", file, "--on", "aws", "--yes")
    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if "missing is" in one]
    said = json.loads(line.partition("missing is ")[2].partition("; `")[0])
    assert said in statements()
    assert (said["Sid"], action in said["Action"]) == (lost, True)


def test_other_names_and_other_places_are_not_allowed(aws_here, here):
    allowed = statements(job_file(here), "--commands", "run")
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job"
    for name, is_allowed in (("dogs-20261128-051500", True), ("cats-20261128-051500", False)):
        need = Need(action="sagemaker:CreateTrainingJob", resource=f"{arn}/{name}")
        assert any(allows(one, need, {}) for one in allowed) is is_allowed
    for key, is_allowed in (("train/a.jpg", True), ("train2/a.jpg", False), ("", False)):
        need = Need(action="s3:GetObject", resource=f"arn:aws:s3:::{BUCKET}/{key}")
        assert any(allows(one, need, {}) for one in allowed) is is_allowed
    for prefix, is_allowed in (("out/dogs/", True), ("secret/", False)):
        need = Need(action="s3:ListBucket", resource=f"arn:aws:s3:::{BUCKET}")
        found = any(allows(one, need, {"s3:prefix": prefix}) for one in allowed)
        assert found is is_allowed
    role = Need(action="iam:PassRole", resource="arn:aws:iam::123456789012:role/kennel-training")
    for service, is_allowed in (("sagemaker.amazonaws.com", True), ("ec2.amazonaws.com", False)):
        context = {"iam:PassedToService": service}
        assert any(allows(one, role, context) for one in allowed) is is_allowed


def test_the_expiry_role_may_delete_these_endpoints_and_no_others(here):
    statements = printed(write_deployment(here))["expiry"]["policy"]["Statement"]
    where = "us-east-1:123456789012"
    for action, resource in (
        ("sagemaker:DeleteEndpoint", f"arn:aws:sagemaker:{where}:endpoint/{{}}"),
        ("cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{where}:alarm:kennel-{{}}-5xx.main"),
    ):
        for name, is_allowed in (("dogs", True), ("cats", False)):
            need = Need(action=action, resource=resource.format(name))
            assert any(allows(one, need, {}) for one in statements) is is_allowed

"""The requests of endpoints: AWS's own model takes them, and the same file makes the same ones."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from endpoints import EXPIRY_ROLE, IMAGE, ROLE, fixed_bundle, write_deployment
from plans import check_plan, validate

from control.aws.account import Account
from control.aws.endpoint.artifact import artifact_of
from control.aws.endpoint.deployment import DeploymentSpec, read_deployment
from control.aws.endpoint.host_image import has_gpu
from control.aws.endpoint.plan import EndpointPlan, costs_of, plan_endpoint
from control.aws.endpoint.request import weights_call
from control.s3 import S3Uri
from serve.settings import read_settings

ROOT = Path(__file__).resolve().parents[1]
TWO = """
[[variants]]
name = "a"
bundle = "bundle"
[[variants]]
name = "b"
bundle = "{}"
"""
EXAMPLES = ("dogs_endpoint", "dogs_serverless", "dogs_async", "dogs_variants")


def plan_of(path: Path) -> EndpointPlan:
    return plan_endpoint(read_deployment(path), Account())


def example(name: str, folder: Path) -> DeploymentSpec:
    """As the file says, with bundles that are there and names that nobody has to be asked for."""
    spec = read_deployment(ROOT / "jobs" / f"{name}.toml")
    bundles = [fixed_bundle(folder / one.name, one.name.encode()) for one in spec.variants]
    is_gpu = any(has_gpu(one.instance_type) for one in spec.variants)
    image = IMAGE.replace("-cpu", "") if is_gpu else IMAGE
    place = replace(spec.place, role=ROLE, expiry_role=EXPIRY_ROLE, image=image)
    variants = tuple(
        replace(one, bundle=bundle) for one, bundle in zip(spec.variants, bundles, strict=True)
    )
    return replace(spec, place=place, variants=variants)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_requests_of_the_example_files_are_those_that_were_reviewed(name, tmp_path):
    plan = plan_endpoint(example(name, tmp_path), Account())
    check_plan(f"deploy_{name}", plan.calls())


def test_the_update_of_an_example_is_the_one_that_was_reviewed(tmp_path):
    plan = plan_endpoint(example("dogs_endpoint", tmp_path), Account())
    check_plan("deploy_dogs_endpoint_update", plan.calls(is_update=True))


@pytest.mark.parametrize(
    ("aws", "more"),
    [
        ('subnets = ["subnet-1"]\nsecurity_groups = ["sg-1"]\nnetwork_isolation = true', ""),
        ('kms_key = "alias/k"\nenvironment = { KENNEL_THREADS = 2 }\ntags = { team = "a" }', ""),
        (
            "instance_count = 2",
            '[capture]\ns3 = "s3://b/c"\npercent = 5\n[update]\nstrategy = "linear"',
        ),
        (
            "instance_count = 2",
            '[update]\nstrategy = "rolling"\nalarms = ["mine"]\nkeep_seconds = 60',
        ),
        ("instance_count = 2", '[update]\nstrategy = "canary"\nalarms = "auto"'),
        ("", "[update]\nkeep_seconds = 60"),
    ],
)
def test_every_option_makes_requests_that_aws_takes(tmp_path, aws, more):
    plan = plan_of(write_deployment(tmp_path, more, place=aws))
    for is_update in (False, True):
        for call in plan.calls(is_update=is_update):
            one = call.to_json()
            validate(one["service"], one["operation"], one["parameters"])
    shown = weights_call(plan.spec).to_json()
    validate("sagemaker", shown["operation"], shown["parameters"])


def test_names_are_made_of_what_is_said_and_not_of_weights(tmp_path):
    two = (
        '[[variants]]\nname = "a"\nbundle = "bundle"\n[[variants]]\nname = "b"\nbundle = "other"\n'
    )
    fixed_bundle(tmp_path / "other", b"other")
    fixed_bundle(tmp_path / "bundle")

    def names(more: str) -> list[str]:
        plan = plan_of(write_deployment(tmp_path, more, bundle=None))
        return [*(call.parameters["ModelName"] for call in plan.models), plan.config_name]

    first = names(two)
    assert len(set(first)) == 3
    assert names(two) == first
    assert names(two + "weight = 3\n") == first
    assert names(two + "instance_count = 3\n")[:2] == first[:2]
    assert names(two + "instance_count = 3\n")[2] != first[2]
    fixed_bundle(tmp_path / "third", b"third")
    changed = names(two.replace("other", "third"))
    assert changed[0] == first[0]
    assert changed[1] != first[1]
    assert changed[2] != first[2]


def test_two_variants_may_share_a_model(tmp_path):
    two = (
        '[[variants]]\nname = "a"\nbundle = "bundle"\n[[variants]]\nname = "b"\nbundle = "bundle"\n'
    )
    fixed_bundle(tmp_path / "bundle")
    plan = plan_of(write_deployment(tmp_path, two, bundle=None))
    assert len(plan.models) == 1
    assert len(plan.artifacts) == 1


def test_the_key_is_made_of_the_content_and_not_of_the_folder(tmp_path):
    first = artifact_of(fixed_bundle(tmp_path / "a"), S3Uri("b", "models"), "dogs")
    same = artifact_of(fixed_bundle(tmp_path / "b"), S3Uri("b", "models"), "dogs")
    other = artifact_of(fixed_bundle(tmp_path / "c", b"other"), S3Uri("b", "models"), "dogs")
    assert first.uri == same.uri != other.uri
    assert first.uri.key.startswith("models/dogs-")
    assert first.uri.key.endswith(".tar.gz")


def test_a_run_folder_counts_as_the_bundle_in_it(tmp_path):
    inside = artifact_of(fixed_bundle(tmp_path / "run" / "model"), S3Uri("b", ""), "dogs")
    assert artifact_of(tmp_path / "run", S3Uri("b", ""), "dogs") == inside


def test_what_is_shown_needs_no_credentials_and_no_network(tmp_path):
    path = write_deployment(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    shown = subprocess.run(
        [sys.executable, "-m", "control", "deploy", str(path), "--show"],
        env={**environment, "HOME": str(tmp_path), "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    operations = [one["operation"] for one in json.loads(shown.stdout)]
    assert operations == [
        *("PutObject", "CreateModel", "CreateEndpointConfig", "CreateSchedule", "CreateEndpoint"),
    ]


def test_without_an_end_there_is_no_schedule(tmp_path):
    plan = plan_of(write_deployment(tmp_path, top="ttl_hours = 0"))
    assert "CreateSchedule" not in [call.operation for call in plan.calls()]
    assert "kennel:expires" not in {tag["Key"] for tag in plan.create.parameters["Tags"]}
    assert [cost.hours for cost in costs_of(plan.spec)] == [None]


def test_the_worst_case_counts_what_scaling_may_add(tmp_path):
    scaling = "[scaling]\nmax = 3\ninvocations_per_instance = 9"
    (cost,) = costs_of(read_deployment(write_deployment(tmp_path, scaling)))
    (alone,) = costs_of(read_deployment(write_deployment(tmp_path)))
    assert cost.per_hour == pytest.approx(3 * alone.per_hour)
    assert cost.worst == pytest.approx(3 * alone.per_hour * 4)


def test_an_asynchronous_server_is_told_to_take_large_and_long_requests(tmp_path):
    path = write_deployment(
        tmp_path, '[asynchronous]\noutput = "s3://b/out"', top='kind = "asynchronous"'
    )
    plan = plan_of(path)
    environment = plan.models[0].parameters["PrimaryContainer"]["Environment"]
    settings = read_settings(environment)
    assert settings.max_body_bytes == 1024**3
    assert settings.timeout_seconds == 3600
    assert plan.config.parameters["AsyncInferenceConfig"]["OutputConfig"] == {
        "S3OutputPath": "s3://b/out",
        "S3FailurePath": "s3://b/out/failures",
    }

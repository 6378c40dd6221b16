"""What a deployment may say, and which host image runs it."""

import re
import tomllib
from pathlib import Path

import botocore.session
import pytest
from endpoints import IMAGE, write_deployment

from contract.errors import SpecError
from control.aws.endpoint.deployment import DeploymentOverrides, read_deployment
from control.aws.endpoint.host_image import (
    HOST_IMAGES,
    IMAGE_CUDA,
    NEURON,
    USUAL_CUDA,
    fits,
    has_gpu,
    has_local_disk,
    host_image_for,
    image_of,
    is_arm,
)
from control.aws.endpoint.payload import MOST_BYTES
from control.aws.endpoint.place import EndpointPlace
from control.s3 import S3Uri

ROOT = Path(__file__).resolve().parents[1]
SERVERLESS = 'kind = "serverless"'
ASYNCHRONOUS = 'kind = "asynchronous"'
WARM = "[serverless]\nprovisioned_concurrency = 2\n"
BY_USE = "[scaling]\nmax = {}\nprovisioned_utilization = 0.7"
OUTPUT = '[asynchronous]\noutput = "s3://b/out"'
TWO = '[[variants]]\nname = "a"\nbundle = "bundle"\n[[variants]]\nname = "b"\nbundle = "bundle"\n'


def test_a_short_file_is_a_real_time_endpoint_that_ends_after_four_hours(tmp_path):
    spec = read_deployment(write_deployment(tmp_path))
    assert (spec.kind, spec.ttl_hours) == ("real-time", 4)
    (variant,) = spec.variants
    assert (variant.name, variant.instance_type) == ("main", "ml.m5.large")
    assert variant.bundle == tmp_path / "bundle"


def test_variants_take_from_aws_what_they_leave_out(tmp_path):
    more = (
        '[[variants]]\nname = "a"\nbundle = "x"\nweight = 9\n'
        '[[variants]]\nname = "b"\nbundle = "s3://b/m.tar.gz"\ninstance_type = "ml.c5.xlarge"\n'
    )
    path = write_deployment(tmp_path, more, bundle=None, place="instance_count = 2")
    a, b = read_deployment(path).variants
    assert (a.weight, a.instance_type, a.instance_count) == (9.0, "ml.m5.large", 2)
    assert (b.weight, b.instance_type, b.bundle) == (1.0, "ml.c5.xlarge", S3Uri("b", "m.tar.gz"))


def test_the_command_line_comes_before_the_file(tmp_path):
    given = DeploymentOverrides(
        name="cats", bundle="s3://b/m.tar.gz", instance_type="ml.c5.large", ttl_hours=0
    )
    spec = read_deployment(write_deployment(tmp_path), given)
    assert (spec.name, spec.ttl_hours) == ("cats", 0)
    assert spec.variants[0].bundle == S3Uri("b", "m.tar.gz")
    assert spec.variants[0].instance_type == "ml.c5.large"


@pytest.mark.parametrize(
    ("top", "aws", "more", "words"),
    [
        ("ttl = 3", "", "", "'ttl'"),
        ("", 'instance_typ = "ml.m5.large"', "", "did you mean 'instance_type'"),
        ("", 'instance_type = "m5.large"', "", "ml.m5.large"),
        ("", "instance_count = 0", "", "from 1 to 100"),
        ("", 'subnets = ["subnet-1"]', "", "security_groups"),
        ("", "startup_seconds = 10", "", "from 60 to 3600"),
        ("", 'environment = { "A-B" = "x" }', "", "letters, digits and underscores"),
        ("", 'tags = { "aws:x" = "y" }', "", "without aws:"),
        ('kind = "realtime"', "", "", "real-time | serverless"),
        ("", "", "[serverless]", 'kind = "serverless"'),
        (SERVERLESS, 'instance_type = "ml.m5.large"', "", "aws.instance_type"),
        (SERVERLESS, "network_isolation = true", "", "network_isolation"),
        (SERVERLESS, 'subnets = ["a"]\nsecurity_groups = ["b"]', "", "aws.subnets"),
        (SERVERLESS, "", '[capture]\ns3 = "s3://b/c"', "capture"),
        (SERVERLESS, "", "[serverless]\nmemory_mb = 2000", "1024, 2048"),
        (SERVERLESS, "", "[serverless]\nmemory_mb = 8192", "from 1024 to 6144"),
        (SERVERLESS, "", "[serverless]\nprovisioned_concurrency = 9", "at most max_concurrency, 5"),
        (SERVERLESS, "", '[update]\nstrategy = "canary"', "update.strategy"),
        (SERVERLESS, "", '[update]\nalarms = "auto"', "update.alarms"),
        (SERVERLESS, "", '[update]\nalarms = ["mine"]', "update.alarms"),
        (SERVERLESS, "", "[update]\nkeep_seconds = 60", "update.keep_seconds"),
        (SERVERLESS, "", BY_USE.format(5), "set serverless.provisioned_concurrency"),
        (
            SERVERLESS,
            "",
            WARM + BY_USE.format(6),
            "scaling.max: expected at most max_concurrency, 5",
        ),
        (ASYNCHRONOUS, "", "", "asynchronous.output"),
        (ASYNCHRONOUS, "", f'{OUTPUT}\nsuccess_topic = "me@x.y"', "arn:aws:sns"),
        (ASYNCHRONOUS, "", f'{OUTPUT}\n[update]\nalarms = "auto"', "alarms of your own"),
        ("", "", '[update]\nstrategy = "canary"\nshare = 60', "from 1 to 50"),
        ("", "", '[update]\nstrategy = "linear"\nshare = 10\nwait_seconds = 3600', "28200"),
        ("", "", "[scaling]\nmin = 0\nmax = 2\ninvocations_per_instance = 9", "scaling.min"),
        ('name = "x"', "", "", "cannot be read as TOML"),
        ('kind = "multi-model"', "", "", "multi-model endpoint has [multi_model]"),
        ('kind = "batch"', "", "", "needs a table [transform]"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path, top, aws, more, words):
    path = write_deployment(tmp_path, more, top=top, place=aws)
    with pytest.raises(SpecError) as caught:
        read_deployment(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (TWO.replace('"b"', '"a"'), "two are called 'a'"),
        (TWO.replace('bundle = "bundle"', 'bundle = "bundle"\nweight = 0'), "every weight is 0"),
        (TWO + '[update]\nstrategy = "rolling"', "one variant only"),
        ('[[variants]]\nname = "a"', "variants[1].bundle"),
        ('[[variants]]\nname = "a"\nbundle = "s3://b/model"', ".tar.gz"),
        ('[[variants]]\nname = "a"\nbundle = "s3://Bad_B/m.tar.gz"', "lower-case letters"),
    ],
)
def test_variants_that_cannot_be_are_refused(tmp_path, more, words):
    with pytest.raises(SpecError, match=re.escape(words)):
        read_deployment(write_deployment(tmp_path, more, bundle=None))


def test_a_local_bundle_needs_a_place_in_s3(tmp_path):
    path = write_deployment(tmp_path)
    text = path.read_text().replace("artifacts", "# artifacts")
    path.write_text(text)
    with pytest.raises(SpecError, match=r"aws\.artifacts"):
        read_deployment(path)
    read_deployment(path, DeploymentOverrides(bundle="s3://b/m.tar.gz"))


def test_the_cuda_of_our_image_is_the_locked_one():
    lock = (ROOT / "docker/requirements/serve.lock").read_text()
    found = re.search(r"^cuda-toolkit==(\d+)\.(\d+)", lock, re.MULTILINE)
    assert (int(found[1]), int(found[2])) == IMAGE_CUDA


def test_the_host_images_are_those_that_sagemaker_knows():
    model = botocore.session.get_session().get_service_model("sagemaker")
    known = model.shape_for("ProductionVariantInferenceAmiVersion").enum
    assert {*(one.name for one in HOST_IMAGES), NEURON} == set(known)


def test_the_payload_limit_is_the_one_of_the_api():
    model = botocore.session.get_session().get_service_model("sagemaker-runtime")
    assert MOST_BYTES["real-time"] == model.shape_for("BodyBlob").metadata["max"]


@pytest.mark.parametrize(
    ("instance_type", "cuda", "expected"),
    [
        ("ml.m5.large", "", ""),  # nothing to drive
        ("ml.g4dn.xlarge", "", "al2023-ami-sagemaker-inference-gpu-4-1"),  # ours, CUDA 13
        ("ml.g5.xlarge", "12.4", "al2-ami-sagemaker-inference-gpu-3-1"),
        ("ml.g5.xlarge", "12.1", "al2-ami-sagemaker-inference-gpu-2-1"),
        ("ml.g5.xlarge", "12.8", "al2023-ami-sagemaker-inference-gpu-4-1"),  # newest that knows it
        ("ml.g5.xlarge", "11.8", ""),  # SageMaker's usual driver will do
        ("ml.g6.xlarge", "12.4", ""),
        ("ml.g6e.xlarge", "13.0", "al2023-ami-sagemaker-inference-gpu-4-1"),
        ("ml.p5en.48xlarge", "13.0", "al2023-ami-sagemaker-inference-gpu-4-1"),
    ],
)
def test_the_host_image_fits_the_cuda_in_the_container(instance_type, cuda, expected):
    assert host_image_for(instance_type, EndpointPlace(cuda=cuda)) == expected
    hosts = {one.name: one.cuda for one in HOST_IMAGES}
    if has_gpu(instance_type):
        wanted = tuple(map(int, cuda.split("."))) if cuda else IMAGE_CUDA
        family = instance_type.split(".")[1]
        assert fits(wanted, hosts[expected] if expected else USUAL_CUDA[family])


@pytest.mark.parametrize(
    ("aws", "words"),
    [
        (
            'instance_type = "ml.g5.xlarge"\nami = "al2-ami-sagemaker-inference-gpu-3-1"',
            "CUDA 12.4",
        ),
        ('instance_type = "ml.g5.xlarge"\nami = "al2"', "expected al2-ami"),
        ('instance_type = "ml.m5.large"\nami = "al2-ami-sagemaker-inference-gpu-2"', "no GPU"),
        ('instance_type = "ml.p3.2xlarge"', "does not know the GPU"),
        ('instance_type = "ml.g5.xlarge"\ncuda = "14.0"', "no host image"),
        ('instance_type = "ml.c7g.large"', "other chips"),
        ('instance_type = "ml.inf2.xlarge"', "other chips"),
        ('instance_type = "ml.g5.xlarge"\nkms_key = "alias/k"', "takes no key"),
    ],
)
def test_machines_and_images_that_cannot_work_together_are_refused(tmp_path, aws, words):
    path = write_deployment(tmp_path, place=aws)
    path.write_text(path.read_text().replace(f'image = "{IMAGE}"\n', ""))
    with pytest.raises(SpecError, match=re.escape(words)):
        read_deployment(path)


def test_the_cpu_image_is_not_put_on_a_gpu_nor_the_other_way_round(tmp_path):
    path = write_deployment(tmp_path, place='instance_type = "ml.g5.xlarge"')
    with pytest.raises(SpecError, match="leaves the GPU"):
        read_deployment(path)
    path.write_text(
        path.read_text().replace("kennel-serve-cpu", "kennel-serve").replace("g5", "c5")
    )
    with pytest.raises(SpecError, match="wants a GPU"):
        read_deployment(path)
    assert image_of(EndpointPlace(), "ml.g5.xlarge") == "kennel-serve"
    assert image_of(EndpointPlace(), "ml.c5.xlarge") == "kennel-serve-cpu"


def test_families_are_told_apart_by_their_names():
    assert [
        name for name in ("g4dn", "gr6", "p4de", "p6-b200", "m5", "inf2") if has_gpu(f"ml.{name}.x")
    ] == [
        *("g4dn", "gr6", "p4de", "p6-b200"),
    ]
    assert [name for name in ("c7g", "m6gd", "c6i", "g5", "r8g") if is_arm(f"ml.{name}.x")] == [
        *("c7g", "m6gd", "r8g"),
    ]
    assert [
        name for name in ("m5d", "m5", "g5", "p3", "r5dn") if has_local_disk(f"ml.{name}.x")
    ] == [
        *("m5d", "g5", "r5dn"),
    ]


@pytest.mark.parametrize(
    "name", ["dogs_endpoint", "dogs_serverless", "dogs_async", "dogs_variants"]
)
def test_the_example_files_say_what_they_are(name):
    path = ROOT / "jobs" / f"{name}.toml"
    spec = read_deployment(path)
    assert spec.name == tomllib.loads(path.read_text())["name"]
    assert spec.ttl_hours > 0

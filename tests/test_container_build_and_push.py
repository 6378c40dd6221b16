"""build_and_push.sh, unchanged, against a stand-in for ECR; what was pushed is pulled and run."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import REPOSITORY, base_image, container, mount, open_to_all, run
from ecr import HOST, REGION, Ecr, ecr
from serving import colour_bundle, picture

pytestmark = pytest.mark.container

PUSH_SECONDS = 1800
TAG = "v1.2.3"
NAME = "teams/dogs"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ecr]:
    base_image()
    if os.geteuid() != 0:
        pytest.skip("the stand-in for ECR changes /etc/hosts and /etc/docker: root only")
    with ecr(tmp_path_factory.mktemp("ecr")) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def uri(aws: Ecr) -> Iterator[str]:
    """The URI by digest of a serve-cpu image that the script built and pushed."""
    done = push(aws.environment, "serve-cpu", "--repository", NAME, "--tag", TAG)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    run("docker", "rmi", "--force", f"{HOST}/{NAME}:{TAG}", f"{HOST}/{NAME}:latest")
    yield line
    run("docker", "rmi", "--force", line, check=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that knows colours, readable by any user."""
    folder = tmp_path_factory.mktemp("bundle") / "model"
    shutil.copytree(colour_bundle(), folder)
    return open_to_all(folder)


def push(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script with the base that the engine has."""
    command = (REPOSITORY / "build_and_push.sh", *words)
    known = {**environment, "BASE_IMAGE": base_image()}
    return run(*command, env=known, seconds=PUSH_SECONDS, check=False)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused run prints."""
    (line,) = done.stderr.splitlines()
    assert done.returncode != 0
    assert done.stdout == ""
    return line


def test_the_pushed_image_is_pulled_by_digest_and_serves(aws, uri, model):
    assert uri.startswith(f"{HOST}/{NAME}@sha256:")
    run("docker", "pull", uri, env=aws.environment, seconds=PUSH_SECONDS)
    options = (mount(model, "/opt/ml/model", "ro"),)
    with container(uri, "serve", options=options) as running:
        running.wait_until_ready()
        status, body = running.ask("/invocations", picture())
    assert (status, json.loads(body)["predictions"][0]["label"]) == (200, "red")


def test_both_tags_are_there_as_a_manifest_that_sagemaker_takes(aws, uri):
    tags = json.loads(aws.registry(f"{NAME}/tags/list"))["tags"]
    assert sorted(tags) == ["latest", TAG]
    manifests = {aws.registry(f"{NAME}/manifests/{tag}") for tag in tags}
    (manifest,) = manifests
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    assert json.loads(manifest)["mediaType"] == kind


def test_a_missing_repository_is_created_scanned_protected_and_cleaned(aws, uri):
    answer = aws.aws("ecr", "describe-repositories", "--repository-names", NAME, "--output=json")
    (repository,) = json.loads(answer)["repositories"]
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    (exclusion,) = repository["imageTagMutabilityExclusionFilters"]
    assert exclusion["filter"] == "latest"
    policy = aws.aws("ecr", "get-lifecycle-policy", "--repository-name", NAME, "--output=json")
    (rule,) = json.loads(json.loads(policy)["lifecyclePolicyText"])["rules"]
    assert rule["selection"]["tagStatus"] == "untagged"


def test_a_tag_that_ecr_has_is_not_built_again_and_latest_moves_to_it(aws, uri, tmp_path):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(aws.registry(f"{NAME}/manifests/{TAG}"))
    put = ("ecr", "put-image", "--repository-name", NAME, "--image-tag", TAG)
    aws.aws(*put, "--image-manifest", f"file://{manifest}")  # moto does not see pushes

    done = push(aws.environment, "serve-cpu", "--repository", NAME, "--tag", TAG)

    assert done.returncode == 0, done.stderr
    assert "is in ECR already" in done.stderr
    assert done.stdout.startswith(f"{HOST}/{NAME}@sha256:")
    images = aws.aws("ecr", "describe-images", "--repository-name", NAME, "--output=json")
    (image,) = json.loads(images)["imageDetails"]
    assert sorted(image["imageTags"]) == ["latest", TAG]


def test_show_prints_the_commands_and_changes_nothing(aws):
    before = aws.aws("ecr", "describe-repositories")
    done = push(aws.environment, "all", "--repository", "shown", "--tag", TAG, "--show")
    assert done.returncode == 0
    for target in ("train", "serve", "serve-cpu"):
        assert f"docker push {HOST}/shown-{target}:{TAG}" in done.stdout
    assert aws.aws("ecr", "describe-repositories") == before


def test_the_tag_is_the_commit(aws, tmp_path):
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", REPOSITORY, clone)
    shutil.copy(REPOSITORY / "build_and_push.sh", clone)
    commit = run("git", "-C", clone, "rev-parse", "--short=12", "HEAD").stdout.strip()
    script = clone / "build_and_push.sh"
    shown = run(script, "serve-cpu", "--show", env=aws.environment).stdout
    assert f"{HOST}/kennel-serve-cpu:{commit} ." in shown
    (clone / "serve" / "new.py").write_text("")
    shown = run(script, "serve-cpu", "--show", env=aws.environment).stdout
    assert f"{HOST}/kennel-serve-cpu:{commit}-dirty-" in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("serve-cpu", "--platform", "linux/arm64"), "SageMaker runs linux/amd64"),
        (("serve-gpu",), "unknown argument serve-gpu: expected train, serve, serve-cpu"),
        (("train", "serve"), "two targets"),
        (("train", "--region"), "--region needs a value"),
        (("train", "--region", "mars"), "mars is no AWS region"),
        (("train", "--repository", "Dogs"), "lower-case"),
        (("train", "--tag", "a b"), "up to 128 letters"),
        (("train", "--tag", "latest"), "latest moves"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(aws, words, expected):
    done = push(aws.environment, *words)
    assert expected in complaint(done)
    assert done.returncode == 2


def test_without_docker_nothing_starts(aws, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "env", "aws", "git", "dirname", "sed", "tail", "python3"):
        (tools / name).symlink_to(str(shutil.which(name)))
    environment = {**aws.environment, "PATH": str(tools)}
    done = push(environment, "serve-cpu", "--tag", TAG)
    assert "docker is missing" in complaint(done)


def test_an_engine_that_does_not_answer_is_one_line(aws, tmp_path):
    environment = {**aws.environment, "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    assert "engine does not answer" in complaint(push(environment, "serve-cpu", "--tag", TAG))


def test_without_credentials_nothing_is_built(aws):
    hidden = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = {key: value for key, value in aws.environment.items() if key not in hidden}
    line = complaint(push(environment, "serve-cpu", "--tag", TAG))
    assert "AWS does not know you" in line
    assert "credentials" in line


def test_a_region_that_does_not_exist_is_one_line(aws):
    environment = {key: value for key, value in aws.environment.items() if "ENDPOINT" not in key}
    line = complaint(push(environment, "serve-cpu", "--tag", TAG, "--region", "eu-nowhere-9"))
    assert "eu-nowhere-9" in line


def test_no_region_is_one_line(aws):
    environment = {key: value for key, value in aws.environment.items() if "REGION" not in key}
    assert "no region" in complaint(push(environment, "serve-cpu", "--tag", TAG))


@pytest.mark.parametrize("script", ["build_and_push.sh", "docker/prepare_engine.sh"])
def test_shellcheck_finds_nothing(script):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    run("shellcheck", REPOSITORY / script)


def test_the_region_is_in_the_uri(aws, uri):
    assert f".{REGION}." in uri
    assert Path(REPOSITORY / "build_and_push.sh").stat().st_mode & 0o111

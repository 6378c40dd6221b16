"""Checks of images in ECR: there, in this region, for x86-64, packed as SageMaker takes them."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from typing import Any

from contract.errors import HostError
from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws.endpoint.host_image import IMAGE_CUDA, cuda_of, has_gpu, host_image_for
from control.aws.house.check import Check, fine, looked, note, wrong
from control.aws.house.wanted import Wanted
from control.aws_client import AwsError

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
SEVERAL = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
OCI = "application/vnd.oci.image.manifest.v1+json"
PLATFORM = "linux/amd64"
CONFIG_BYTES = 1_000_000  # an image's configuration has some kilobytes
CONFIG_SECONDS = 20.0


def image_checks(account: Account, wanted: Wanted) -> list[Check]:
    """Each image, then CUDA against the host where there is a GPU."""
    found: list[Check] = []
    for name in wanted.images:
        found += looked("image", partial(_image, account, name, wanted.is_hosted))
    return found + cuda_checks(wanted)


def cuda_checks(wanted: Wanted) -> list[Check]:
    """What a GPU endpoint is started on; a pair that cannot work was refused with the file."""
    if wanted.deployment is None:
        return []
    place = wanted.deployment.place
    found = []
    for kind, _ in wanted.machines:
        if not has_gpu(kind):
            continue
        cuda = cuda_of(place)
        if cuda is None:
            remedy = f'say aws.cuda = "{IMAGE_CUDA[0]}.{IMAGE_CUDA[1]}" or what the image has'
            found.append(note("cuda", f"{kind}: nobody says which CUDA the image has", remedy))
        else:
            host = host_image_for(kind, place) or "SageMaker's own choice"
            found.append(fine("cuda", f"{kind}: CUDA {cuda[0]}.{cuda[1]} on host image {host}"))
    return found


def _image(account: Account, name: str, is_hosted: bool) -> Check:
    uri = account.image_uri(name)
    registry, _, rest = uri.partition("/")
    if ".dkr.ecr." not in registry:
        return note("image", f"{uri} is not in ECR: SageMaker takes it from there alone")
    region = registry.split(".")[3]
    if region != account.region:
        return wrong(
            "image",
            f"{uri} is in {region}, and the work in {account.region}",
            f"AWS_REGION={account.region} ./build_and_push.sh",
        )
    repository, reference = _parts(rest)
    push = f"./build_and_push.sh {repository.removeprefix('kennel-')}"
    call = Call(
        service="ecr",
        operation="BatchGetImage",
        parameters={
            "registryId": registry.split(".")[0],
            "repositoryName": repository,
            "imageIds": [reference],
            "acceptedMediaTypes": [DOCKER, OCI, *SEVERAL],
        },
    )
    try:
        answer = account.send(call, f"image {uri}")
    except AwsError as error:
        if not is_missing(error):
            raise
        return wrong("image", f"{uri}: ECR has no repository {repository}", push)
    if not answer.get("images"):
        return wrong("image", f"{uri} was never pushed", push)
    return _packed(account, uri, answer["images"][0], is_hosted, push)


def _parts(rest: str) -> tuple[str, dict[str, str]]:
    """`kennel-train:latest` -> its repository, and how ECR wants to be asked."""
    if "@" in rest:
        repository, digest = rest.split("@", 1)
        return repository.partition(":")[0], {"imageDigest": digest}
    repository, _, tag = rest.partition(":")
    return repository, {"imageTag": tag or "latest"}


def _packed(
    account: Account, uri: str, image: Mapping[str, Any], is_hosted: bool, push: str
) -> Check:
    """By its manifest: CreateModel takes one of Docker's, version 2, for one platform."""
    kind = str(image.get("imageManifestMediaType", ""))
    manifest = json.loads(image.get("imageManifest") or "{}")
    kind = kind or str(manifest.get("mediaType", ""))
    if kind in SEVERAL or (kind == OCI and is_hosted):
        what = "an index of several platforms" if kind in SEVERAL else "an OCI manifest"
        if is_hosted:
            return wrong("image", f"{uri} is {what}: CreateModel takes Docker's, version 2", push)
        platforms = {_platform(one.get("platform", {})) for one in manifest.get("manifests", [])}
        if PLATFORM not in platforms:
            return wrong("image", f"{uri} is for {', '.join(sorted(platforms))}", push)
        return note("image", f"{uri} is {what}; training may take it, serving does not", push)
    platform = _platform(_config(account, uri, manifest))
    if platform == "unknown":
        return note("image", f"{uri} is there; its platform could not be read")
    if platform != PLATFORM:
        return wrong("image", f"{uri} is for {platform}, and the machines are {PLATFORM}", push)
    return fine("image", f"{uri}, {platform}")


def _config(account: Account, uri: str, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The image's configuration, which ECR hands out as it does a layer; {} when it does not."""
    digest = (manifest.get("config") or {}).get("digest")
    registry, _, rest = uri.partition("/")
    if not digest:
        return {}
    call = Call(
        service="ecr",
        operation="GetDownloadUrlForLayer",
        parameters={
            "registryId": registry.split(".")[0],
            "repositoryName": _parts(rest)[0],
            "layerDigest": digest,
        },
    )
    try:
        address = str(account.send(call, f"image {uri}")["downloadUrl"])
        return _fetched(address)
    except (AwsError, HostError):
        return {}


def _fetched(address: str) -> Mapping[str, Any]:
    """Raises HostError: nothing comes, or something else than JSON."""
    if not address.startswith(("https://", "http://")):
        raise HostError(f"{address} is no address to download from")
    try:
        with urllib.request.urlopen(address, timeout=CONFIG_SECONDS) as answer:
            found = json.loads(answer.read(CONFIG_BYTES))
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise HostError(f"an image's configuration cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def _platform(one: Mapping[str, Any]) -> str:
    names = (one.get("os"), one.get("architecture"))
    return "/".join(map(str, names)) if all(names) else "unknown"

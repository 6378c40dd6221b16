"""Image: what ECR says about the image that an endpoint would run, before SageMaker is asked.

A name such as kennel-serve-cpu is made complete with the digest of what was pushed last, so that a
push and `kennel deploy` again bring the new image. A complete URI is left as the file has it, and
nobody is asked.
"""

from typing import Any

from contract.errors import HostError
from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws_client import AwsError

DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
# Source: SageMaker developer guide, serverless endpoints.
SERVERLESS_BYTES = 10 * 1024**3
OCI = "application/vnd.oci."  # CreateModel takes Docker's own manifests only


def complete_image(account: Account, image: str, *, is_serverless: bool = False) -> str:
    """`kennel-serve-cpu` -> registry/kennel-serve-cpu@sha256:...; a complete URI stays.

    Raises HostError: it was never pushed, or SageMaker would refuse it. AwsError.
    """
    if "/" in image:
        return image
    repository, _, tag = image.partition(":")
    uri = account.image_uri(image)
    found = _look_up(account, repository, tag or "latest")
    if found is None:
        return uri
    _check(found, image, is_serverless)
    return f"{uri.rpartition(':')[0]}@{found['imageDigest']}"


def _look_up(account: Account, repository: str, tag: str) -> dict[str, Any] | None:
    """What ECR knows; None when the caller may not look: SageMaker's role may all the same."""
    call = Call(
        service="ecr",
        operation="DescribeImages",
        parameters={"repositoryName": repository, "imageIds": [{"imageTag": tag}]},
    )
    try:
        details = account.send(call, f"the image {repository}:{tag}")["imageDetails"]
        return dict(details[0])
    except AwsError as error:
        if error.code in DENIED:
            return None
        if is_missing(error):
            target = repository.removeprefix("kennel-")
            raise HostError(
                f"{repository}:{tag} is not in this account's ECR in {account.region}: "
                f"`./build_and_push.sh {target}` builds and pushes it"
            ) from None
        raise


def _check(found: dict[str, Any], image: str, is_serverless: bool) -> None:
    kind = str(found.get("imageManifestMediaType", ""))
    if kind.startswith(OCI):
        raise HostError(
            f"{image} was pushed as {kind}, which SageMaker refuses: build it with "
            "--provenance=false and push it in Docker's own format, as ./build_and_push.sh does"
        )
    size = int(found.get("imageSizeInBytes", 0))
    if is_serverless and size > SERVERLESS_BYTES:
        raise HostError(
            f"{image} has {size / 1024**3:.1f} GB packed, and a serverless endpoint takes 10: "
            "use kennel-serve-cpu"
        )

"""Names in AWS: of a limited length, and never free again once a job had them."""

import hashlib
import re
import time
from dataclasses import replace

from contract.errors import UsageError
from control.aws.account import Account
from control.aws_place import AwsPlace

STAMP = "%Y%m%d-%H%M%S"  # UTC
DIGEST_CHARACTERS = 12
_ECR = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com[./]")
LONGEST = 63  # Source: SageMaker API reference; tuning jobs have 32


def stamped(name: str, longest: int = LONGEST, at: float | None = None) -> str:
    """`dogs` -> `dogs-20261128-051500`, shortened where it must be. `at`: seconds since 1970."""
    stamp = time.strftime(STAMP, time.gmtime(at))
    return f"{name[: longest - len(stamp) - 1].rstrip('-')}-{stamp}"


def stamped_pattern(name: str, longest: int = LONGEST) -> str:
    """What all names that `stamped` gives have in common, with a * for the rest."""
    return f"{stamped(name, longest, 0)[: -len(time.strftime(STAMP, time.gmtime(0)))]}*"


def alarm_of(endpoint: str, variant: str, what: str) -> str:
    """An alarm about one variant. The dot is in neither name: nobody else's comes out the same."""
    return f"kennel-{endpoint}-{what}.{variant}"


def shortened(name: str, longest: int) -> str:
    """Itself, or its beginning and a digest: two long names that begin alike stay two."""
    if len(name) <= longest:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGEST_CHARACTERS]
    return f"{name[: longest - DIGEST_CHARACTERS - 1]}-{digest}"


def check_image_region(image: str, account: Account, what: str = "job") -> None:
    """Raises UsageError: the image lies in another region than the job, and AWS fetches none.

    Args:
        what: is to run it.
    """
    found = _ECR.match(image)
    if found and found[1] != account.region:
        raise UsageError(
            f"aws.image: {image} is in {found[1]}, and the {what} would be in {account.region}; "
            f"AWS takes images of the same region: AWS_REGION={account.region} ./build_and_push.sh "
            f"brings it there, AWS_REGION={found[1]} brings the {what} to the image"
        )


def complete(place: AwsPlace, account: Account) -> AwsPlace:
    """The same place with the role's ARN and the image's URI. Asks AWS for short names only."""
    return replace(place, role=account.role_arn(place.role), image=account.image_uri(place.image))

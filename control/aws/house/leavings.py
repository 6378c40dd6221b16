"""Leavings: what stays in S3 and ECR after a clean-up and goes on costing by the gigabyte.

They are named, not deleted: a bundle is what the training was for, and an image serves many.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from control.aws.account import Account
from control.aws.call import Call
from control.aws.house.asking import each
from control.aws.house.found import OUR_IMAGES, Found, dollars, size
from control.aws.rates import ECR_GB_MONTH, S3_GB_MONTH, kept_per_month
from control.aws_client import AwsError
from control.s3 import SCHEME, S3Uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """One place where bytes lie."""

    what: str
    num_bytes: int
    per_month: float  # US dollars
    command: str  # that removes it

    def to_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "what": self.what,
            "bytes": self.num_bytes,
            "usd_per_month": self.per_month,
            "command": self.command,
        }


def leavings(account: Account, things: Iterable[Found], *, with_images: bool) -> list[Leaving]:
    """Model archives of these things, and our repositories in ECR.

    What may not be looked at is left out: the clean-up itself does not depend on it.
    """
    addresses = sorted({str(one.about["artifact"]) for one in things if one.about.get("artifact")})
    try:
        found = [one for one in each(lambda uri: _archives(account, uri), addresses) if one]
    except AwsError:
        found = []
    if with_images:
        try:
            found += _images(account)
        except AwsError:
            return found
    return found


def leavings_text(found: Sequence[Leaving]) -> list[str]:
    """Lines for a person."""
    if not found:
        return []
    return [
        "still costs, and is not removed:",
        *(
            f"  {one.what}, {size(one.num_bytes)}, {dollars(one.per_month)} a month: {one.command}"
            for one in found
        ),
    ]


def _archives(account: Account, address: str) -> Leaving | None:
    """One archive, or what lies below the prefix of a multi-model endpoint."""
    if not address.startswith(SCHEME):
        return None
    uri = S3Uri.parse(address)
    call = Call(
        service="s3",
        operation="ListObjectsV2",
        parameters={"Bucket": uri.bucket, "Prefix": uri.key},
    )
    is_folder = address.endswith("/")
    objects = [
        item for item in account.pages(call, "Contents") if is_folder or item["Key"] == uri.key
    ]
    if not objects:
        return None
    num_bytes = sum(int(item["Size"]) for item in objects)
    return Leaving(
        what=f"{address} ({len(objects)} archives)" if is_folder else address,
        num_bytes=num_bytes,
        per_month=kept_per_month(num_bytes, S3_GB_MONTH),
        command=f"aws s3 rm {'--recursive ' if is_folder else ''}{address}",
    )


def _images(account: Account) -> list[Leaving]:
    call = Call(service="ecr", operation="DescribeRepositories", parameters={})
    names = [
        str(item["repositoryName"])
        for item in account.pages(call, "repositories")
        if item["repositoryName"].startswith(OUR_IMAGES)
    ]
    found = []
    for name in names:
        call = Call(service="ecr", operation="DescribeImages", parameters={"repositoryName": name})
        sizes = [
            int(item.get("imageSizeInBytes", 0)) for item in account.pages(call, "imageDetails")
        ]
        if sizes:
            found.append(
                Leaving(
                    what=f"ECR repository {name} ({len(sizes)} images)",
                    num_bytes=sum(sizes),
                    per_month=kept_per_month(sum(sizes), ECR_GB_MONTH),
                    command=f"aws ecr delete-repository --force --repository-name {name}",
                )
            )
    return found

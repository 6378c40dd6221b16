"""Tags: how everything that we make in AWS is found again, counted and removed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata

# Keys. A colon is allowed by every service that we use; `aws:` is theirs.
NAME = "kennel:name"  # the job's, the deployment's or the function's
KIND = "kennel:kind"  # training, tuning, endpoint, transform, ec2, lambda, iam
EXPIRES = "kennel:expires"  # ISO 8601, UTC: when a scheduled deletion is due
NEVER = "never"  # instead of that time, once an end was taken back
VERSION = "kennel:version"  # of the program that made it
LONGEST_VALUE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """The tags of one thing: ours, then those that the file asks for."""

    name: str
    kind: str
    expires: datetime | None = None
    more: Mapping[str, str] | None = None

    def as_dict(self) -> dict[str, str]:
        """For Lambda and CloudWatch Logs."""
        ours = {NAME: self.name, KIND: self.kind, VERSION: _version()}
        if self.expires:
            ours[EXPIRES] = self.expires.astimezone(UTC).isoformat(timespec="seconds")
        return {**(self.more or {}), **ours}

    def as_list(self) -> list[dict[str, str]]:
        """For SageMaker, IAM and EC2: [{"Key": ..., "Value": ...}]."""
        return [{"Key": key, "Value": value} for key, value in self.as_dict().items()]


def tags_of(listed: object) -> dict[str, str]:
    """Back from either form; anything else counts as no tags."""
    if isinstance(listed, Mapping):
        return {str(key): str(value) for key, value in listed.items()}
    if isinstance(listed, list):
        return {str(item.get("Key")): str(item.get("Value", "")) for item in listed}
    return {}


def _version() -> str:
    try:
        return metadata.version("kennel")
    except metadata.PackageNotFoundError:
        return "unknown"

"""Call: one request to AWS as plain data. What --show prints is what is sent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Request = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An operation with its parameters, in the words of AWS's own model."""

    service: str  # as boto3 calls it: sagemaker, s3, iam, application-autoscaling, ...
    operation: str  # as AWS calls it: CreateTrainingJob
    parameters: Mapping[str, Any]

    def to_json(self) -> Request:
        """Plain data for --show; bytes, such as a Lambda's archive, by their length."""
        return {
            "service": self.service,
            "operation": self.operation,
            "parameters": _plain(self.parameters),
        }


def calls_json(calls: Iterable[Call]) -> list[Request]:
    """What `--show` prints of several, in the order in which they are sent."""
    return [call.to_json() for call in calls]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

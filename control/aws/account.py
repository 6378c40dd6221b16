"""Account: whose AWS it is. Sends calls, a client for each service, made when first needed."""

import threading
from collections.abc import Iterator
from typing import Any

from contract.errors import UsageError
from control.aws.call import Call
from control.aws_client import AwsError, aws_client, aws_errors

# Names of what is not there: AWS has several words for it, and SageMaker only a sentence.
MISSING = frozenset(
    {
        *(
            "ResourceNotFound",
            "ResourceNotFoundException",
            "NoSuchEntity",
            "ObjectNotFoundException",
        ),
        *("NoSuchKey", "NoSuchBucket", "404", "NotFoundException"),
        *("RepositoryNotFoundException", "ImageNotFoundException", "NoSuchResourceException"),
        "InvalidInstanceID.NotFound",
        "ProvisionedConcurrencyConfigNotFoundException",
    }
)
MISSING_WORDS = (
    *("could not find", "does not exist", "not found", "cannot find"),
    *("no scalable target found", "no scaling policy found"),
)
TAKEN_WORDS = "already exist"  # Cannot create already existing endpoint "arn:..."


class Account:
    """One account in one region, as boto3's usual places say. For use by several threads."""

    def __init__(self, connections: int = 10) -> None:
        self._connections = connections  # of each client: as many as threads use it at once
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._identity: dict[str, str] = {}

    def client(self, service: str) -> Any:
        """boto3's client, for pages and transfers. Raises UsageError, HostError."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = aws_client(service, self._connections)
            return self._clients[service]

    def send(self, call: Call, doing: str = "") -> dict[str, Any]:
        """AWS's answer. `doing` begins the one line of an error, e.g. "endpoint dogs".

        Raises AwsError, with AWS's own code; UsageError when credentials, a region or a valid
        parameter are missing. Throttled calls were tried again before.
        """
        client = self.client(call.service)
        method = _method(client, call.operation)
        with aws_errors(doing or call.operation):
            answer: dict[str, Any] = method(**call.parameters)
            return answer

    def send_once(self, call: Call, doing: str, within_seconds: float) -> dict[str, Any]:
        """As `send`, but never tried again: without an answer it may have been done all the same.

        Raises AwsError, without a code also when no answer came within these seconds.
        """
        client = aws_client(call.service, once_within_seconds=within_seconds)
        with aws_errors(doing):
            answer: dict[str, Any] = _method(client, call.operation)(**call.parameters)
            return answer

    def pages(self, call: Call, key: str, doing: str = "") -> Iterator[Any]:
        """The items below `key` of every page. Raises as `send` does."""
        client = self.client(call.service)
        name = _method(client, call.operation).__name__
        with aws_errors(doing or call.operation):
            for page in client.get_paginator(name).paginate(**call.parameters):
                yield from page.get(key, ())

    def find(self, call: Call, doing: str = "") -> dict[str, Any] | None:
        """As `send`, but None for what does not exist."""
        try:
            return self.send(call, doing)
        except AwsError as error:
            if is_missing(error):
                return None
            raise

    @property
    def region(self) -> str:
        """Raises UsageError: none is configured."""
        region = self.client("sagemaker").meta.region_name
        if not region:
            raise UsageError("no region: set AWS_REGION, or type `aws configure`")
        return str(region)

    @property
    def id(self) -> str:
        """Twelve digits; asked for once. Raises AwsError, UsageError."""
        return self._who()["Account"]

    @property
    def caller(self) -> str:
        """The ARN of whoever asks."""
        return self._who()["Arn"]

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`."""
        return str(self.client("sagemaker").meta.partition)

    def role_arn(self, name_or_arn: str) -> str:
        """A role's ARN from its name. An ARN stays as it is, and nobody is asked."""
        if name_or_arn.startswith("arn:"):
            return name_or_arn
        return f"arn:{self.partition}:iam::{self.id}:role/{name_or_arn}"

    def image_uri(self, name: str) -> str:
        """`kennel-train` -> this account's repository in this region, :latest unless tagged.

        A complete URI stays as it is, and nobody is asked.
        """
        if "/" in name:
            return name
        tagged = name if ":" in name else f"{name}:latest"
        suffix = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return f"{self.id}.dkr.ecr.{self.region}.{suffix}/{tagged}"

    def _who(self) -> dict[str, str]:
        if not self._identity:
            call = Call(service="sts", operation="GetCallerIdentity", parameters={})
            self._identity = self.send(call, "AWS cannot tell who you are")
        return self._identity


def is_missing(error: AwsError) -> bool:
    """Whether AWS says that the thing does not exist."""
    words = str(error).lower()
    return error.code in MISSING or (
        error.code in ("ValidationException", "ValidationError")
        and any(part in words for part in MISSING_WORDS)
    )


def is_taken(error: AwsError) -> bool:
    """Whether AWS says that a thing of this name is there: perhaps our own, its answer lost."""
    return error.code == "ResourceInUse" or (
        error.code == "ValidationException" and TAKEN_WORDS in str(error).lower()
    )


def _method(client: Any, operation: str) -> Any:
    """`create_training_job` of CreateTrainingJob."""
    names = {api: name for name, api in client.meta.method_to_api_mapping.items()}
    return getattr(client, names[operation])

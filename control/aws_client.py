"""AWS's clients: the only file that makes them, so that every call has the same limits.

Credentials, region and AWS_ENDPOINT_URL are found by boto3 itself, in its usual places; AWS_REGION
counts, too. boto3 is imported when a client is made: that takes a third of a second.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from contract.errors import HostError, UsageError
from control.aws_remedies import remedy_for, remedy_here

CONNECT_SECONDS = 10.0
READ_SECONDS = 70.0  # an endpoint's container has 60
MOST_TRIES = 8  # of one call: throttling, broken connections and 5xx, with growing pauses
TRANSIENT = frozenset({"", "InternalFailure", "InternalServerError", "ServiceUnavailable", "500"})
TRANSIENT |= {"502", "503", "504", "RequestTimeout", "ServiceUnavailableException"}
TRANSIENT |= {"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"}
TRANSIENT |= {"InternalError", "Unavailable", "RequestLimitExceeded"}  # EC2's words
_NOT_AWS = "see AWS_ENDPOINT_URL, and proxies between"
_PAGE = re.compile(r"<(?:!doctype html|html)\b(?:.*?<title>([^<]{0,80}))?", re.IGNORECASE)
# Of a ModelError: what the container said. Source: SageMaker runtime API reference.
DETAILS = ("OriginalStatusCode", "OriginalMessage", "LogStreamArn")


class AwsError(HostError):
    """AWS refused a call, or could not be reached. Safe to retry.

    Args (positional, kept in `args` so that the error pickles):
        message: what was done, and what AWS said.
        code: AWS's own word for it, e.g. NoSuchKey; empty when no answer came.
        details: what else AWS's answer holds, e.g. OriginalMessage of a ModelError.
    """

    def __init__(
        self, message: str, code: str = "", details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, code, details)
        self.code, self.details = code, dict(details or {})

    def __str__(self) -> str:
        return str(self.args[0])

    @property
    def is_transient(self) -> bool:
        """Whether the same call may work a minute later: nobody answered, or was too busy."""
        return self.code in TRANSIENT


def aws_client(
    service: str, connections: int = 10, *, once_within_seconds: float | None = None
) -> Any:
    """A client of e.g. `s3`, for use by as many threads as it has connections.

    Args:
        once_within_seconds: no call is sent twice, and an answer may take so long; for what is done
            anew each time that it is asked for.

    Raises HostError without boto3, UsageError when what boto3 reads is incomplete.
    """
    try:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise HostError("AWS needs the package boto3: type `pip install boto3`") from None
    limits = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=once_within_seconds or READ_SECONDS,
        retries={
            "mode": "standard",
            "total_max_attempts": 1 if once_within_seconds else MOST_TRIES,
        },
        tcp_keepalive=True,  # routers forget a connection on which nothing is said for minutes
        max_pool_connections=connections,
        user_agent_extra="kennel",
    )
    with aws_errors(f"{service} cannot be used"):
        return boto3.client(service, config=limits, region_name=region_here())


def region_here() -> str | None:
    """Of the variable that AWS's command line reads and boto3 does not; None leaves it to it."""
    return os.environ.get("AWS_REGION") or None


def credentials_end() -> datetime | None:
    """When the credentials that boto3 finds end; None when they do not, or nobody says."""
    import boto3

    with aws_errors("credentials cannot be read"):
        found = boto3.Session().get_credentials()
    # boto3 tells it nowhere else; without the attribute we know less, and nothing fails.
    end = getattr(found, "_expiry_time", None)
    return end if isinstance(end, datetime) else None


def known_values(service: str, shape: str) -> tuple[str, ...]:
    """What AWS's own model of the service, as boto3 brings it, lists for a field's type.

    Empty without boto3, or where the model lists nothing. Asks nobody.
    """
    try:
        from botocore.session import get_session  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return ()
    return tuple(get_session().get_service_model(service).shape_for(shape).enum)


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn what boto3 raises inside into our errors, in one line that begins with `doing`.

    Raises AwsError, or UsageError when credentials, a region or a valid name are missing.
    """
    from boto3.exceptions import Boto3Error  # type: ignore[import-untyped]
    from botocore import exceptions  # type: ignore[import-untyped]
    from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

    try:
        yield
    except exceptions.ClientError as error:
        said = error.response.get("Error", {})
        code, words = str(said.get("Code", "")), " ".join(str(said.get("Message", "")).split())
        if page := _PAGE.match(words):
            title = f" ({page[1].strip()})" if page[1] else ""
            told = f"{doing}: a web page{title} answers in AWS's place: {_NOT_AWS}"
            raise AwsError(told, code) from None
        remedy = remedy_for(code, words)
        told = f"{doing}: AWS says {code}: {words}"
        more = {name: error.response[name] for name in DETAILS if name in error.response}
        raise AwsError(f"{told}; {remedy}" if remedy else told, code, more) from None
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.NoRegionError,
        exceptions.ParamValidationError,
    ) as error:
        raise UsageError(_told_here(doing, error)) from None
    except (exceptions.BotoCoreError, Boto3Error) as error:
        # What is wrong on this machine is not better a minute later.
        code = type(error).__name__ if _is_set_here(error) else ""
        raise AwsError(_told_here(doing, error), code) from None
    except ResponseParserError:
        told = f"what answers does not speak as AWS does: {_NOT_AWS}"
        raise AwsError(f"{doing}: {told}") from None


def _told_here(doing: str, error: Exception) -> str:
    words, remedy = " ".join(str(error).split()), remedy_here(type(error).__name__)
    return f"{doing}: {words}; {remedy}" if remedy else f"{doing}: {words}"


def _is_set_here(error: Exception) -> bool:
    """Credentials that are over, a profile that does not exist, a region that is none."""
    words = ("SSO", "Token", "Credential", "Profile", "InvalidRegion")
    return any(word in type(error).__name__ for word in words)

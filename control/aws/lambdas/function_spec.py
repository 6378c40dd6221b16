"""FunctionSpec: how the function before an endpoint is to be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from contract.errors import UsageError
from control.aws.shapes import ROLE

RUNTIME = "python3.13"
LAMBDA_ROLE = "kennel-lambda"  # what `kennel iam create` makes
EXPIRY_ROLE = "kennel-expiry"
ALIAS = "live"  # what provisioned concurrency and the address belong to
READ_SECONDS = 65  # SageMaker itself gives up after 60
# What fetching a picture and answering may take besides; see control/lambda_function.py.
OTHER_SECONDS = 7
ENDPOINT_BYTES = 6_291_456  # Source: SageMaker Runtime API reference; serverless: 4 MB
# Source: CloudWatch Logs API reference, PutRetentionPolicy.
LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENDPOINT = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}")
_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ORIGIN = re.compile(r"\*|https?://[a-z0-9.-]+(:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """One function. Source: Lambda API reference, CreateFunction."""

    name: str
    endpoint: str
    role: str = LAMBDA_ROLE  # name or ARN
    makes_role: bool = False  # when it does not exist
    timeout_seconds: int = 75  # API Gateway itself waits for 29
    memory_mb: int = 512  # the share of a processor grows with it
    has_url: bool = False  # an address of its own
    is_public: bool = False  # ... that needs no signature
    hosts: tuple[str, ...] = ()  # whose pictures it fetches: HOST or *.DOMAIN
    buckets: tuple[str, ...] = ()  # whose pictures it reads
    origins: tuple[str, ...] = ()  # of web pages that may ask: https://HOST or *
    max_bytes: int = ENDPOINT_BYTES  # that the endpoint takes
    provisioned: int = 0  # instances that are kept ready, and billed
    reserved: int | None = None  # at most so many at once
    log_days: int = 30
    ttl_hours: float = 0.0  # 0: until somebody deletes it
    expiry_role: str = EXPIRY_ROLE

    def __post_init__(self) -> None:
        _check("NAME", self.name, _NAME, "up to 64 letters, digits, - or _")
        _check("--endpoint", self.endpoint, _ENDPOINT, "an endpoint's name")
        for flag, role in (("--role", self.role), ("--expiry-role", self.expiry_role)):
            if not ROLE.fits(role):
                raise UsageError(f"{flag}: expected {ROLE.expected}, got {role[:80]!r}")
        for flag, texts, pattern, expected in (
            ("--allow-host", self.hosts, _HOST, "a host such as example.org, or *.example.org"),
            ("--allow-bucket", self.buckets, _BUCKET, "a bucket's name"),
            ("--allow-origin", self.origins, _ORIGIN, "e.g. https://example.org, or *"),
        ):
            for text in texts:
                _check(flag, text, pattern, expected)
        _within("--timeout-seconds", self.timeout_seconds, 10, 900)
        _within("--memory-mb", self.memory_mb, 128, 10_240)
        _within("--max-bytes", self.max_bytes, 1, 25 * 1024 * 1024)
        _within("--provisioned-concurrency", self.provisioned, 0, 10_000)
        _within("--ttl-hours", self.ttl_hours, 0, 24 * 366)
        if self.log_days not in LOG_DAYS:
            days = ", ".join(map(str, LOG_DAYS))
            raise UsageError(f"--log-days: expected one of {days}, got {self.log_days}")
        if self.is_public and not self.has_url:
            raise UsageError("--public is about the function's address: add --url")
        if self.reserved is not None and self.reserved < max(0, self.provisioned):
            raise UsageError(
                f"--reserved-concurrency {self.reserved}: expected at least "
                f"{max(0, self.provisioned)}, which --provisioned-concurrency asks for"
            )
        if len(" ".join((*self.hosts, *self.buckets, *self.origins))) > 3500:
            raise UsageError("the lists of hosts, buckets and origins are over 3.5 KB: too long")

    @property
    def variables(self) -> dict[str, str]:
        """The function's environment."""
        lists = {
            "ALLOWED_HOSTS": self.hosts,
            "ALLOWED_BUCKETS": self.buckets,
            "ALLOWED_ORIGINS": self.origins,
        }
        read_seconds = min(READ_SECONDS, self.timeout_seconds - OTHER_SECONDS)
        return {
            "ENDPOINT_NAME": self.endpoint,
            "MAX_BYTES": str(self.max_bytes),
            "READ_SECONDS": str(read_seconds),
            **{name: " ".join(texts) for name, texts in lists.items() if texts},
        }

    @property
    def qualifier(self) -> Mapping[str, str]:
        """The parameter that names whom callers reach: the alias, or nothing."""
        return {"Qualifier": ALIAS} if self.provisioned else {}

    @property
    def log_group(self) -> str:
        """Where Lambda writes what the function says."""
        return log_group_of(self.name)


def log_group_of(name: str) -> str:
    """The log group of a function, as Lambda names it."""
    return f"/aws/lambda/{name}"


def check_name(name: str) -> None:
    """Raises UsageError: no function can be called so."""
    _check("NAME", name, _NAME, "up to 64 letters, digits, - or _")


def _check(flag: str, text: str, pattern: re.Pattern[str], expected: str) -> None:
    if not pattern.fullmatch(text):
        raise UsageError(f"{flag}: expected {expected}, got {text!r}")


def _within(flag: str, value: float, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"{flag}: expected {least:,} to {most:,}, got {value:,}")

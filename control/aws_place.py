"""AwsPlace: the table [aws] of a job, a study or a deployment: where it runs in AWS."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.job import CHANNELS, channel_name
from contract.ranges import only_known
from control.aws.shapes import (
    IMAGE,
    KMS_KEY,
    MOST_GROUPS,
    MOST_SUBNETS,
    ROLE,
    S3_PLACE,
    SECURITY_GROUP,
    SUBNET,
    TYPE,
    wrong_list,
    wrong_tag,
)

TEXTS = ("image", "role", "output", "instance_type", "kms_key", "checkpoints")
NUMBERS = {
    "instance_count": (1, 100),
    "volume_gb": (1, 16_384),
    "max_wait_seconds": (1, 28 * 86_400),
}
SWITCHES = ("spot", "network_isolation", "encrypt_between_hosts")
LISTS = ("subnets", "security_groups")
NAMES = (*TEXTS, *NUMBERS, *SWITCHES, *LISTS, "channels", "tags")
TRAIN_IMAGE = "kennel-train"
TRAIN_ROLE = "kennel-training"  # what `kennel iam create` makes


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsPlace:
    """Where training runs. Source: SageMaker API reference, CreateTrainingJob."""

    image: str = TRAIN_IMAGE  # a repository's name in this account's ECR, or a complete URI
    role: str = TRAIN_ROLE  # name or ARN
    output: str  # s3://BUCKET/PREFIX
    channels: Mapping[str, str] = field(default_factory=dict)  # our names -> s3://BUCKET/PREFIX
    instance_type: str = "ml.m5.xlarge"
    instance_count: int = 1
    volume_gb: int = 50
    spot: bool = False
    max_wait_seconds: int | None = None  # of a spot job, waiting included; twice its time limit
    checkpoints: str = ""  # s3://BUCKET/PREFIX: what an earlier job left there is gone on from
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    network_isolation: bool = False
    encrypt_between_hosts: bool = False
    kms_key: str = ""  # of the volume and of what is written to S3
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_shapes()
        if bool(self.subnets) != bool(self.security_groups):
            raise SpecError("aws: a VPC needs both, subnets and security_groups")
        if self.max_wait_seconds is not None and not self.spot:
            raise SpecError("aws.max_wait_seconds: only a job with spot = true waits")

    def _check_shapes(self) -> None:
        """Also of what came by the command line. Raises SpecError."""
        places = {f"channels.{name}": uri for name, uri in self.channels.items()}
        places |= {"output": self.output, "checkpoints": self.checkpoints}
        for name, text, shape in (
            ("image", self.image, IMAGE),
            ("role", self.role, ROLE),
            ("instance_type", self.instance_type, TYPE),
            ("kms_key", self.kms_key, KMS_KEY),
            *((name, uri, S3_PLACE) for name, uri in places.items()),
        ):
            if text and not shape.fits(text):
                raise SpecError(f"aws.{name}: expected {shape.expected}, got {text[:80]!r}")
        for name, texts, shape, most in (
            ("subnets", self.subnets, SUBNET, MOST_SUBNETS),
            ("security_groups", self.security_groups, SECURITY_GROUP, MOST_GROUPS),
        ):
            if expected := wrong_list(texts, shape, most):
                raise SpecError(f"aws.{name}: expected {expected}, got {list(texts)!r:.80}")
        name, expected = wrong_tag(self.tags)
        if expected:
            raise SpecError(f"aws.tags: {name[:80]!r}: expected {expected}")


def read_aws_place(path: Path, table: Mapping[str, Any]) -> AwsPlace:
    """The table [aws] of the file `path`. Raises SpecError."""
    only_known(f"{path}: aws", table, NAMES)
    for name in TEXTS:
        if name in table and (not isinstance(table[name], str) or not table[name]):
            raise _wrong(path, name, "text in quotes", table[name])
    for name, (least, most) in NUMBERS.items():
        if name in table and (type(table[name]) is not int or not least <= table[name] <= most):
            raise _wrong(path, name, f"a whole number from {least} to {most}", table[name])
    for name in SWITCHES:
        if name in table and type(table[name]) is not bool:
            raise _wrong(path, name, "true or false", table[name])
    if "output" not in table:
        raise SpecError(f'{path}: aws.output: expected where results go, e.g. "s3://BUCKET/kennel"')
    chosen = {name: table[name] for name in (*TEXTS, *NUMBERS, *SWITCHES) if name in table}
    try:
        return AwsPlace(
            **chosen,
            subnets=_texts_in(path, "subnets", table.get("subnets", [])),
            security_groups=_texts_in(path, "security_groups", table.get("security_groups", [])),
            channels=_channels_in(path, table.get("channels", {})),
            tags=_tags_in(path, table.get("tags", {})),
        )
    except SpecError as error:
        told = str(error)
        raise SpecError(told if told.startswith(str(path)) else f"{path}: {told}") from None


def _channels_in(path: Path, table: Any) -> dict[str, str]:
    if not isinstance(table, Mapping):
        raise _wrong(path, "channels", 'a table, e.g. train = "s3://BUCKET/train"', table)
    only_known(f"{path}: aws.channels", {channel_name(key): 0 for key in table}, CHANNELS)
    for key, value in table.items():
        if not isinstance(value, str):
            raise _wrong(path, f"channels.{key}", S3_PLACE.expected, value)
    return {channel_name(key): value for key, value in table.items()}


def _tags_in(path: Path, table: Any) -> dict[str, str]:
    if not isinstance(table, Mapping):
        raise _wrong(path, "tags", 'a table, e.g. team = "dogs"', table)
    for name, value in table.items():
        if not isinstance(value, str):
            raise _wrong(path, f"tags.{name}", "text in quotes", value)
    return dict(table)


def _texts_in(path: Path, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _wrong(path, name, "a list of texts", value)
    return tuple(value)


def _wrong(path: Path, name: str, expected: str, got: Any) -> SpecError:
    return SpecError(f"{path}: aws.{name}: expected {expected}, got {got!r}")

"""EndpointPlace: the table [aws] of a deployment: on what, as whom, and with which settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.errors import SpecError
from control.aws.endpoint.fields import Fields
from control.aws.shapes import (
    IMAGE,
    KMS_KEY,
    MOST_GROUPS,
    MOST_SUBNETS,
    ROLE,
    SECURITY_GROUP,
    SUBNET,
    TYPE,
    wrong_tag,
)

ENDPOINT_ROLE = "kennel-endpoint"  # what `kennel iam create` makes
EXPIRY_ROLE = "kennel-expiry"
INSTANCE_TYPE = "ml.m5.large"
STARTUP_SECONDS = 480  # what SageMaker waits unasked
NAMES = (
    *("image", "role", "expiry_role", "artifacts", "instance_type", "instance_count"),
    *("subnets", "security_groups", "network_isolation", "kms_key", "tags", "environment"),
    *("startup_seconds", "ami", "cuda"),
)
# Source: SageMaker API reference, ContainerDefinition, Environment.
MOST_VARIABLES, MOST_CHARACTERS = 100, 1024
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_CUDA = re.compile(r"\d+\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlace:
    """Where a model is served. Source: SageMaker API reference, CreateEndpointConfig."""

    image: str = ""  # a repository's name in this account's ECR, or a complete URI; "" is ours
    role: str = ENDPOINT_ROLE  # name or ARN; the container's
    expiry_role: str = EXPIRY_ROLE  # name or ARN; of the schedule that deletes the endpoint
    artifacts: str = ""  # s3://BUCKET/PREFIX: where local bundles are uploaded to
    instance_type: str = INSTANCE_TYPE
    instance_count: int = 1
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    network_isolation: bool = False
    kms_key: str = ""  # of the instances' volumes
    tags: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)  # of the container
    startup_seconds: int = STARTUP_SECONDS  # to download the model; as many again until it answers
    ami: str = ""  # InferenceAmiVersion; "" is picked by the image's CUDA
    cuda: str = ""  # the CUDA version in an image that is not ours, e.g. "12.4"


def endpoint_place_in(fields: Fields) -> EndpointPlace:
    """The table [aws] of a deployment. Raises SpecError."""
    fields.known(NAMES)
    place = EndpointPlace(
        image=fields.shaped("image", IMAGE),
        role=fields.shaped("role", ROLE, ENDPOINT_ROLE),
        expiry_role=fields.shaped("expiry_role", ROLE, EXPIRY_ROLE),
        artifacts=fields.s3("artifacts"),
        instance_type=instance_type_in(fields, INSTANCE_TYPE),
        instance_count=fields.whole("instance_count", 1, 100, 1),
        subnets=fields.all_shaped("subnets", SUBNET, MOST_SUBNETS),
        security_groups=fields.all_shaped("security_groups", SECURITY_GROUP, MOST_GROUPS),
        network_isolation=fields.switch("network_isolation"),
        kms_key=fields.shaped("kms_key", KMS_KEY),
        tags=_tags_in(fields),
        environment=_environment_in(fields),
        startup_seconds=fields.whole("startup_seconds", 60, 3600, STARTUP_SECONDS),
        ami=fields.text("ami"),
        cuda=fields.text("cuda"),
    )
    if bool(place.subnets) != bool(place.security_groups):
        raise SpecError(f"{fields.path}: aws: a VPC needs both, subnets and security_groups")
    if place.cuda and not _CUDA.fullmatch(place.cuda):
        raise fields.wrong("cuda", 'a version in quotes, e.g. "12.4"', place.cuda)
    return place


def instance_type_in(fields: Fields, default: str) -> str:
    """`ml.m5.large`; the usual slip, a type without `ml.`, is named."""
    value = fields.text("instance_type", default)
    if not TYPE.fits(value):
        hint = f"ml.{value}" if TYPE.fits(f"ml.{value}") else TYPE.expected
        raise fields.wrong("instance_type", hint, value)
    return value


def _tags_in(fields: Fields) -> dict[str, str]:
    table: Any = fields.table.get("tags", {})
    tags = fields.strings("tags")
    for name in tags:
        if not isinstance(table[name], str):
            raise fields.wrong(f"tags.{name}", "text in quotes", table[name])
    name, expected = wrong_tag(tags)
    if expected:
        raise fields.wrong(f"tags.{name[:80]}", expected, tags[name][:80])
    return tags


def _environment_in(fields: Fields) -> dict[str, str]:
    variables = fields.strings("environment")
    if len(variables) > MOST_VARIABLES - 4:  # ours come on top
        raise fields.wrong("environment", f"at most {MOST_VARIABLES - 4} variables", len(variables))
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or len(name) > MOST_CHARACTERS:
            raise fields.wrong(f"environment.{name}", "letters, digits and underscores", name)
        if len(value) > MOST_CHARACTERS:
            raise fields.wrong(
                f"environment.{name}", f"at most {MOST_CHARACTERS} characters", value[:40]
            )
    return variables

"""Ec2Place: the table [ec2] of a job file: the instance that runs one job and then ends itself.

Image, results, channels, key and tags are those of [aws]: the same job runs in both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.ranges import only_known

INSTANCE_ROLE = "kennel-ec2"  # the instance profile that `kennel iam create` makes
# Public parameters of AWS's, which hold the newest image with Docker, and with NVIDIA's driver
# and container runtime. Source: ECS developer guide, Retrieving Amazon ECS-optimized Linux AMI
# metadata.
AMI_PARAMETER = "/aws/service/ecs/optimized-ami/amazon-linux-2023{kind}/recommended/image_id"
TEXTS = (
    *("instance_type", "role", "subnet", "security_group"),
    *("ami", "ami_parameter", "root_device", "key_name"),
)
NAMES = (*TEXTS, "volume_gb", "spot")
VOLUME_GB = (30, 16_384)  # the image of AWS's has 30
_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_WITH_GPU = re.compile(r"(g[3-9]\w*|gr\d\w*|p[2-9]\w*)\..+")
_FOR_ARM = re.compile(r"(a1|t4g|g5g|[a-z]+\d+g[a-z]*)\..+")
_SHAPES = {
    "ami": (re.compile(r"ami-[0-9a-f]{8,17}"), "ami-0123456789abcdef0"),
    "ami_parameter": (re.compile(r"/[\w./-]+"), "/aws/service/..."),
    "subnet": (re.compile(r"subnet-[0-9a-f]{8,17}"), "subnet-0123456789abcdef0"),
    "security_group": (re.compile(r"sg-[0-9a-f]{8,17}"), "sg-0123456789abcdef0"),
    "root_device": (re.compile(r"/dev/\w+"), "/dev/xvda"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ec2Place:
    """Where a job runs outside of SageMaker."""

    instance_type: str = "m5.xlarge"
    volume_gb: int = 50  # image, pictures and results together
    role: str = INSTANCE_ROLE  # an instance profile's name or ARN
    subnet: str = ""  # of the account's default VPC unless said
    security_group: str = ""  # the VPC's own unless said; nothing needs to come in
    spot: bool = False
    ami: str = ""
    ami_parameter: str = ""  # instead of `ami`: a parameter of SSM's that holds one
    root_device: str = "/dev/xvda"  # what the image calls its volume; Ubuntu says /dev/sda1
    key_name: str = ""  # for ssh; nothing needs it

    def __post_init__(self) -> None:
        if self.ami and self.ami_parameter:
            raise SpecError("ec2: give ami or ami_parameter, not both")
        if not _TYPE.fullmatch(self.instance_type) or self.instance_type.startswith("ml."):
            raise SpecError(
                "ec2.instance_type: expected e.g. g4dn.xlarge, without SageMaker's ml., got "
                f"{self.instance_type!r}"
            )
        if is_for_arm(self.instance_type) and not (self.ami or self.ami_parameter):
            raise SpecError(
                f"ec2.instance_type: {self.instance_type} has an ARM processor and our images are "
                "for x86-64; take another type, or say with ami or ami_parameter what it starts"
            )

    @property
    def has_gpu(self) -> bool:
        """Whether the type has NVIDIA's, by its family's name."""
        return bool(_WITH_GPU.fullmatch(self.instance_type))

    @property
    def image_id(self) -> str:
        """For RunInstances, which looks parameters up itself."""
        kind = "/gpu" if self.has_gpu else ""
        return self.ami or f"resolve:ssm:{self.ami_parameter or AMI_PARAMETER.format(kind=kind)}"


def is_for_arm(instance_type: str) -> bool:
    """Graviton: the letter after the generation is a g."""
    return bool(_FOR_ARM.fullmatch(instance_type))


def read_ec2_place(path: Path, table: Mapping[str, Any]) -> Ec2Place:
    """The table [ec2] of the file `path`. Raises SpecError."""
    only_known(f"{path}: ec2", table, NAMES)
    for name in TEXTS:
        if name in table and (not isinstance(table[name], str) or not table[name]):
            raise _wrong(path, name, "text in quotes", table[name])
    least, most = VOLUME_GB
    size = table.get("volume_gb", least)
    if type(size) is not int or not least <= size <= most:
        raise _wrong(path, "volume_gb", f"a whole number from {least} to {most}", size)
    if type(table.get("spot", False)) is not bool:
        raise _wrong(path, "spot", "true or false", table["spot"])
    for name, (shape, example) in _SHAPES.items():
        if name in table and not shape.fullmatch(table[name]):
            raise _wrong(path, name, f"e.g. {example}", table[name])
    try:
        return Ec2Place(**table)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def _wrong(path: Path, name: str, expected: str, got: Any) -> SpecError:
    return SpecError(f"{path}: ec2.{name}: expected {expected}, got {got!r}")

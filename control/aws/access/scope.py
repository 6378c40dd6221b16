"""Scope: what a policy is about: the account, and the names of what the files describe."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from control.s3 import S3Uri

ALL = ("*",)
TRAINING, ENDPOINT, LAMBDA, EXPIRY, EC2 = (
    *("kennel-training", "kennel-endpoint", "kennel-lambda"),
    *("kennel-expiry", "kennel-ec2"),
)
TRAIN_IMAGES = ("kennel-train",)
SERVE_IMAGES = ("kennel-serve", "kennel-serve-cpu")
AMI_PARAMETERS = ("/aws/service/ecs/optimized-ami/amazon-linux-2023*/recommended/image_id",)
GLOBAL_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Folders and objects in S3."""

    read: tuple[S3Uri, ...] = ()
    write: tuple[S3Uri, ...] = ()

    def __or__(self, other: "Places") -> "Places":
        return Places(
            read=tuple(dict.fromkeys((*self.read, *other.read))),
            write=tuple(dict.fromkeys((*self.write, *other.write))),
        )

    @property
    def both(self) -> tuple[S3Uri, ...]:
        """What is written is read, too."""
        return tuple(dict.fromkeys((*self.read, *self.write)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Names, `*` for any part of them; places; and what else narrows a policy."""

    partition: str = "aws"
    region: str
    account: str
    training: tuple[str, ...] = ALL  # jobs, those of studies, too
    tuning: tuple[str, ...] = ALL
    endpoints: tuple[str, ...] = ALL
    parts: tuple[str, ...] = ALL  # models and configurations
    transforms: tuple[str, ...] = ALL
    functions: tuple[str, ...] = ALL
    trained: Places = field(default_factory=Places)  # of training jobs
    served: Places = field(default_factory=Places)  # of endpoints and batches
    pushed: tuple[S3Uri, ...] = ()  # where people bring data, and models
    buckets: tuple[str, ...] = ()  # whose pictures functions may read
    keys: tuple[str, ...] = ()  # of KMS: an ID, an ARN or an alias
    topics: tuple[str, ...] = ()  # of SNS: ARNs
    is_in_vpc: bool = False
    has_stops: bool = False  # a rule stops its training job
    train_images: tuple[str, ...] = ()  # ARNs of repositories
    serve_images: tuple[str, ...] = ()
    ami_parameters: tuple[str, ...] = AMI_PARAMETERS
    key_names: tuple[str, ...] = ()  # for ssh
    roles: tuple[tuple[str, str], ...] = ()  # our names -> names or ARNs, where a file has others

    def arn(self, service: str, resource: str) -> str:
        """Of a thing in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def made(self, kind: str, names: Iterable[str]) -> list[str]:
        """Of things of SageMaker's; those of endpoints are lower case in ARNs."""
        return [self.arn("sagemaker", f"{kind}/{name.lower()}") for name in names]

    def logs(self, group: str, stream: str = "") -> list[str]:
        """Of a log group's content, or of its streams."""
        return [self.arn("logs", f"log-group:{group}:{f'log-stream:{stream}' if stream else '*'}")]

    def names_of(self, ours: str) -> list[str]:
        """What stands for one of our roles in all files: names or ARNs."""
        return [name for key, name in self.roles if key == ours] or [ours]

    def role(self, ours: str) -> list[str]:
        """ARNs of it."""
        return [arn for name in self.names_of(ours) for arn in self.role_arns(name)]

    def role_arns(self, name: str, kind: str = "role") -> list[str]:
        """The ARN of a role, or of the instance profile of that name."""
        if name.startswith("arn:"):
            # A profile of an ARN has a role of the same name, as `kennel iam create` makes it.
            return [re.sub(r":(role|instance-profile)/", f":{kind}/", name)]
        return [f"arn:{self.partition}:iam::{self.account}:{kind}/{name}"]

    def objects(self, places: Iterable[S3Uri]) -> list[str]:
        """ARNs of the objects at these places: below a folder, or the one."""
        return [
            f"arn:{self.partition}:s3:::{uri.bucket}/{key}" for uri in places for key in _below(uri)
        ]

    def bucket_arns(self, places: Iterable[S3Uri]) -> list[str]:
        """ARNs of their buckets."""
        return [f"arn:{self.partition}:s3:::{uri.bucket}" for uri in places]

    @property
    def every(self) -> Places:
        """All places."""
        return self.trained | self.served | Places(write=self.pushed)

    @property
    def global_region(self) -> str:
        """Where IAM is, which has no region of its own."""
        return GLOBAL_REGIONS.get(self.partition, "us-east-1")


def prefixes(places: Iterable[S3Uri]) -> list[str]:
    """What a listing may ask for, as the condition key s3:prefix has it."""
    found = [key for uri in places for key in (uri.key.rstrip("/"), *_below(uri))]
    return ["*"] if "*" in found else list(dict.fromkeys(found))


def _below(uri: S3Uri) -> list[str]:
    """Patterns of keys: `dogs` may be an object or a folder, and never means `dogs2`."""
    if not uri.key or uri.key.endswith("/"):
        return [f"{uri.key}*"]
    return [uri.key, f"{uri.key}/*"]

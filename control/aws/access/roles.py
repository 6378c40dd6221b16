"""Rights of the five roles: what works in AWS in a person's stead, and whom it trusts.

Source: SageMaker developer guide, execution roles; Lambda, EventBridge Scheduler and EC2 guides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from control.aws.access.conditions import everything, here, listing, namespaces, through
from control.aws.access.functions import FUNCTION_LOGS
from control.aws.access.grant import VERSION, Grant
from control.aws.access.hosting import (
    ENDPOINT_LOGS,
    SCALING_ENDS,
    TRANSFORM_LOGS,
    alarms,
    of_sagemaker,
    targets,
)
from control.aws.access.jobs import JOB_LOGS, granted_to_aws, key_arns
from control.aws.access.scope import EC2, ENDPOINT, EXPIRY, LAMBDA, TRAINING, Places, Scope

RULE_LOGS = "/aws/sagemaker/ProcessingJobs"
# Source: SageMaker developer guide, CreateTrainingJob API: execution role permissions, VPC.
NETWORK = (
    *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission"),
    *("ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"),
)
NETWORK_LOOKS = (
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeVpcs", "ec2:DescribeDhcpOptions"),
    *("ec2:DescribeSubnets", "ec2:DescribeSecurityGroups"),
)
Where = Callable[[Scope], Places]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One of ours."""

    name: str  # as files and flags have it when they say nothing
    what: str  # its description
    service: str  # that takes it
    grants: tuple[Grant, ...]
    has_source: bool  # the service tells for which account it takes the role
    has_profile: bool = False  # EC2 takes roles by an instance profile

    def trust(self, scope: Scope) -> dict[str, Any]:
        """Who may take it: the service, for this account alone where it says for whom it asks."""
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Principal": {"Service": self.service},
            "Action": "sts:AssumeRole",
        }
        if self.has_source:
            condition: Mapping[str, Any] = {"aws:SourceAccount": scope.account}
            statement["Condition"] = {"StringEquals": condition}
        return {"Version": VERSION, "Statement": [statement]}


def _pulls(images: Callable[[Scope], tuple[str, ...]]) -> tuple[Grant, ...]:
    return (
        Grant(
            sid="EnterRegistry",
            why="a token for the registry, which knows no resource, so: in this region",
            actions=("ecr:GetAuthorizationToken",),
            resources=everything,
            condition=here,
        ),
        Grant(
            sid="PullImages",
            why="the image",
            actions=(
                *("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer"),
                "ecr:BatchGetImage",
            ),
            resources=images,
        ),
    )


def _files(where: Where) -> tuple[Grant, ...]:
    return (
        Grant(
            sid="ListFolders",
            why="what lies in its folders",
            actions=("s3:ListBucket",),
            resources=lambda scope: scope.bucket_arns(where(scope).both),
            condition=listing(lambda scope: where(scope).both),
        ),
        Grant(
            sid="ReadFiles",
            why="pictures, weights, models",
            actions=("s3:GetObject",),
            resources=lambda scope: scope.objects(where(scope).both),
        ),
        Grant(
            sid="WriteFiles",
            why="results",
            actions=("s3:PutObject", "s3:AbortMultipartUpload"),
            resources=lambda scope: scope.objects(where(scope).write),
        ),
        Grant(
            sid="UseKey",
            why="the file's key, by way of S3",
            actions=("kms:Decrypt", "kms:GenerateDataKey"),
            resources=key_arns,
            condition=through("s3"),
        ),
    )


def _logs(*groups: str) -> tuple[Grant, ...]:
    return (
        Grant(
            sid="WriteLogs",
            why="what containers say",
            actions=(
                *("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams"),
                "logs:PutLogEvents",
            ),
            resources=lambda scope: [arn for group in groups for arn in scope.logs(group)],
        ),
        Grant(
            sid="WriteMetrics",
            why="metrics, which know no resource, so: under these names",
            actions=("cloudwatch:PutMetricData",),
            resources=everything,
            condition=namespaces(*(group.removesuffix("/*") for group in groups)),
        ),
    )


def _in_vpc(scope: Scope) -> list[str]:
    if not scope.is_in_vpc:
        return []
    kinds = ("network-interface", "subnet", "security-group")
    return [scope.arn("ec2", f"{kind}/*") for kind in kinds]


_MACHINES = (
    Grant(
        sid="UnlockVolumes",
        why="volumes that the file's key encrypts",
        actions=("kms:CreateGrant", "kms:DescribeKey"),
        resources=key_arns,
        condition=granted_to_aws,
    ),
    Grant(
        sid="EnterNetwork",
        why="interfaces in the file's subnets",
        actions=NETWORK,
        resources=_in_vpc,
    ),
    Grant(
        sid="SeeNetwork",
        why="... and what is there; AWS knows no resource for it, so: in this region",
        actions=NETWORK_LOOKS,
        resources=lambda scope: ("*",) if scope.is_in_vpc else (),
        condition=here,
    ),
)
_STOPS = (
    Grant(
        sid="StopByRule",
        why="a rule stops its training job",
        actions=("sagemaker:StopTrainingJob",),
        resources=lambda scope: (
            scope.made("training-job", scope.training) if scope.has_stops else ()
        ),
    ),
    Grant(
        sid="FindJobToStop",
        why="... which it finds in a list, which knows no resource, so: in this region",
        actions=("sagemaker:ListTrainingJobs",),
        resources=lambda scope: ("*",) if scope.has_stops else (),
        condition=here,
    ),
)
_TRAINING = Role(
    name=TRAINING,
    what="Training jobs and studies of kennel's",
    service="sagemaker.amazonaws.com",
    grants=(
        *_pulls(lambda scope: scope.train_images),
        *_files(lambda scope: scope.trained),
        Grant(
            sid="MirrorCheckpoints",
            why="what a job deletes from its checkpoints is deleted in S3",
            actions=("s3:DeleteObject",),
            resources=lambda scope: scope.objects(scope.trained.write),
        ),
        *_logs(JOB_LOGS, RULE_LOGS),
        *_MACHINES,
        *_STOPS,
    ),
    has_source=True,
)
_ENDPOINT = Role(
    name=ENDPOINT,
    what="Endpoints and batches of kennel's",
    service="sagemaker.amazonaws.com",
    grants=(
        *_pulls(lambda scope: scope.serve_images),
        *_files(lambda scope: scope.served),
        *_logs(f"{ENDPOINT_LOGS}/*", TRANSFORM_LOGS),
        Grant(
            sid="TellTopics",
            why="asynchronous answers are announced",
            actions=("sns:Publish",),
            resources=lambda scope: scope.topics,
        ),
        *_MACHINES,
    ),
    has_source=True,
)
_LAMBDA = Role(
    name=LAMBDA,
    what="Functions before endpoints",
    service="lambda.amazonaws.com",
    grants=(
        Grant(
            sid="AskEndpoints",
            why="pictures to the endpoint",
            actions=("sagemaker:InvokeEndpoint",),
            resources=lambda scope: scope.made("endpoint", scope.endpoints),
        ),
        Grant(
            sid="ReadPictures",
            why="pictures that a request names by bucket and key",
            actions=("s3:GetObject",),
            resources=lambda scope: [
                f"arn:{scope.partition}:s3:::{bucket}/*" for bucket in scope.buckets
            ],
        ),
        Grant(
            sid="WriteLogs",
            why="what the function says; kennel makes the log group",
            actions=("logs:CreateLogStream", "logs:PutLogEvents"),
            resources=lambda scope: [
                arn for name in scope.functions for arn in scope.logs(f"{FUNCTION_LOGS}/{name}")
            ],
        ),
    ),
    # AWS's pages differ on whether Lambda tells one, and a condition that is not met stops every
    # function. Nobody can pass a role to another account's. Source: IAM user guide, PassRole.
    has_source=False,
)
_EXPIRY = Role(
    name=EXPIRY,
    what="Scheduled deletions of endpoints and functions",
    service="scheduler.amazonaws.com",
    grants=(
        Grant(
            sid="DeleteEndpoints",
            why="an endpoint whose time is over",
            actions=("sagemaker:DeleteEndpoint",),
            resources=lambda scope: scope.made("endpoint", scope.endpoints),
        ),
        # Source: SageMaker developer guide, Delete endpoints configured for auto scaling.
        Grant(
            sid="TakeScalingOff",
            why="AWS takes scaling off with an endpoint, for whoever may do so, or keeps both",
            actions=SCALING_ENDS,
            resources=lambda scope: targets(scope) if scope.endpoints else (),
            condition=of_sagemaker,
        ),
        Grant(
            sid="DeleteAlarms",
            why="its alarms, those of its scaling among them",
            actions=("cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms"),
            resources=alarms,
        ),
        Grant(
            sid="DeleteFunctions",
            why="a function whose time is over",
            actions=("lambda:DeleteFunction",),
            resources=lambda scope: [
                scope.arn("lambda", f"function:{name}") for name in scope.functions
            ],
        ),
    ),
    has_source=True,
)
_EC2 = Role(
    name=EC2,
    what="Instances that train",
    service="ec2.amazonaws.com",
    grants=(*_pulls(lambda scope: scope.train_images), *_files(lambda scope: scope.trained)),
    has_source=False,  # as Lambda; instances take it by their profile
    has_profile=True,
)
ROLES: Mapping[str, Role] = {
    "training": _TRAINING,
    "endpoint": _ENDPOINT,
    "lambda": _LAMBDA,
    "expiry": _EXPIRY,
    "ec2": _EC2,
}

"""Rights of people who look after all of it: kennel list, cleanup and doctor.

They look at everything in the region, because a name does not tell whose a thing is: its tags do.
"""

from control.aws.access.administrator import our_roles
from control.aws.access.conditions import everything, here
from control.aws.access.functions import FUNCTION_LOGS, aliases, functions, with_alias
from control.aws.access.grant import Grant
from control.aws.access.hosting import (
    ENDPOINT_LOGS,
    SCALING_ENDS,
    alarms,
    of_sagemaker,
    schedules,
    targets,
)
from control.aws.access.scope import ALL, EC2, Scope
from control.aws.expiry import schedule_name

LOOKING = ("list", "cleanup")
HOSTED = ("endpoint", "endpoint-config", "model")
JOBS = ("training-job", "hyper-parameter-tuning-job", "transform-job")


def tagged(scope: Scope) -> list[str]:
    """Whatever has tags that say whose it is."""
    return [arn for kind in (*HOSTED, *JOBS) for arn in scope.made(kind, ALL)]


def log_groups(scope: Scope) -> list[str]:
    """Those that endpoints and functions left."""
    return [
        *(f"{ENDPOINT_LOGS}/{name}" for name in scope.endpoints),
        *(f"{FUNCTION_LOGS}/{name}" for name in scope.functions),
    ]


LISTING = (
    Grant(
        sid="ListAll",
        why="what there is; lists know no resource, so: in this region",
        commands=LOOKING,
        actions=(
            *("sagemaker:ListEndpoints", "sagemaker:ListEndpointConfigs", "sagemaker:ListModels"),
            *("sagemaker:ListTrainingJobs", "sagemaker:ListHyperParameterTuningJobs"),
            *("sagemaker:ListTransformJobs", "lambda:ListFunctions", "scheduler:ListSchedules"),
            "logs:DescribeLogGroups",
        ),
        resources=everything,
        condition=here,
    ),
    Grant(
        sid="ReadTags",
        why="whose it is",
        commands=LOOKING,
        actions=("sagemaker:ListTags",),
        resources=tagged,
    ),
    Grant(
        sid="SeeAll",
        why="what it is, and what it costs",
        commands=LOOKING,
        actions=(
            *("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"),
            *("sagemaker:DescribeModel", "sagemaker:DescribeTrainingJob"),
            "sagemaker:DescribeTransformJob",
        ),
        resources=lambda scope: [
            arn
            for kind in (*HOSTED, "training-job", "transform-job")
            for arn in scope.made(kind, ALL)
        ],
    ),
    Grant(
        sid="SeeFunctions",
        why="tags, address and instances that are kept ready, of each function",
        commands=LOOKING,
        actions=(
            *("lambda:ListTags", "lambda:ListProvisionedConcurrencyConfigs"),
            "lambda:GetFunctionUrlConfig",
        ),
        resources=lambda scope: functions(scope, ALL),
    ),
    Grant(
        sid="SeeAlarms",
        why="alarms, and whose they are",
        commands=LOOKING,
        actions=("cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource"),
        resources=lambda scope: [scope.arn("cloudwatch", "alarm:*")],
    ),
    Grant(
        sid="SeeLogGroups",
        why="whose a log is",
        commands=LOOKING,
        actions=("logs:ListTagsForResource",),
        resources=lambda scope: [
            scope.arn("logs", f"log-group:{group}/*") for group in (ENDPOINT_LOGS, FUNCTION_LOGS)
        ],
    ),
    Grant(
        sid="SeeSchedules",
        why="what a schedule deletes",
        commands=LOOKING,
        actions=("scheduler:GetSchedule",),
        resources=lambda scope: [scope.arn("scheduler", "schedule/*/kennel-*")],
    ),
    Grant(
        sid="SeeRepositories",
        why="images that go on to cost",
        commands=("list", "cleanup"),
        actions=("ecr:DescribeRepositories", "ecr:DescribeImages"),
        resources=lambda scope: [scope.arn("ecr", "repository/*")],
    ),
)

CLEANING = (
    Grant(
        sid="EndJobs",
        why="jobs of these names stop",
        commands=("cleanup",),
        actions=(
            *("sagemaker:StopTrainingJob", "sagemaker:StopHyperParameterTuningJob"),
            "sagemaker:StopTransformJob",
        ),
        resources=lambda scope: [
            *scope.made("training-job", (*scope.training, *scope.tuning)),
            *scope.made("hyper-parameter-tuning-job", scope.tuning),
            *scope.made("transform-job", scope.transforms),
        ],
    ),
    Grant(
        sid="RemoveHosting",
        why="endpoints of these names go, with what they stand on",
        commands=("cleanup",),
        actions=(
            *("sagemaker:DeleteEndpoint", "sagemaker:DeleteEndpointConfig"),
            "sagemaker:DeleteModel",
        ),
        resources=lambda scope: [
            *scope.made("endpoint", scope.endpoints),
            *scope.made("endpoint-config", scope.parts),
            *scope.made("model", (*scope.parts, *scope.transforms)),
        ],
    ),
    Grant(
        sid="RemoveScaling",
        why="scaling goes before its endpoint",
        commands=("cleanup",),
        actions=SCALING_ENDS,
        resources=targets,
        condition=of_sagemaker,
    ),
    Grant(
        sid="RemoveAlarms",
        why="alarms of these endpoints",
        commands=("cleanup",),
        actions=("cloudwatch:DeleteAlarms",),
        resources=alarms,
    ),
    Grant(
        sid="EndReadyFunctions",
        why="instances kept ready go first: they cost",
        commands=("cleanup",),
        actions=("lambda:DeleteProvisionedConcurrencyConfig",),
        resources=aliases,
    ),
    Grant(
        sid="RemoveFunctions",
        why="functions of these names",
        commands=("cleanup",),
        actions=("lambda:DeleteFunctionUrlConfig", "lambda:DeleteFunction"),
        resources=with_alias,
    ),
    Grant(
        sid="RemoveSchedules",
        why="deletions that have nothing to delete any more",
        commands=("cleanup",),
        actions=("scheduler:DeleteSchedule",),
        resources=lambda scope: [
            *schedules(scope),
            *(
                scope.arn("scheduler", f"schedule/default/{schedule_name('function', name)}")
                for name in scope.functions
            ),
        ],
    ),
    Grant(
        sid="RemoveLogs",
        why="logs of these endpoints and functions",
        commands=("cleanup",),
        actions=("logs:DeleteLogGroup",),
        resources=lambda scope: [arn for group in log_groups(scope) for arn in scope.logs(group)],
    ),
)

CHECKING = (
    Grant(
        sid="SeeRoles",
        why="that roles are there, and trust whom they serve",
        commands=("doctor", "lambda"),
        actions=("iam:GetRole",),
        resources=our_roles,
    ),
    Grant(
        sid="SeeInstanceProfiles",
        why="that the profile of instances is there",
        commands=("doctor",),
        actions=("iam:GetInstanceProfile",),
        resources=lambda scope: [
            arn for name in scope.names_of(EC2) for arn in scope.role_arns(name, "instance-profile")
        ],
    ),
    Grant(
        sid="SeeQuotas",
        why="how many machines are allowed; AWS knows no resource for it, so: in this region",
        commands=("doctor",),
        actions=(
            *("servicequotas:ListServiceQuotas", "servicequotas:ListAWSDefaultServiceQuotas"),
            *("servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota"),
            "ec2:DescribeInstanceTypes",
        ),
        resources=everything,
        condition=here,
    ),
    Grant(
        sid="LookIntoImages",
        why="platform, size and CUDA of the images",
        commands=("doctor",),
        actions=(
            *("ecr:DescribeImages", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
            "ecr:DescribeRepositories",
        ),
        resources=lambda scope: (*scope.train_images, *scope.serve_images),
    ),
)

"""Rights of people who deploy: kennel deploy, predict, models and scale."""

from control.aws.access.conditions import everything, for_service, here, passed_to
from control.aws.access.grant import Condition, Grant
from control.aws.access.scope import ENDPOINT, EXPIRY, Scope

SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
SCALING_ROLE = f"{SCALING_SERVICE}/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
TRANSFORM_LOGS = "/aws/sagemaker/TransformJobs"
SCALING_ENDS = (
    "application-autoscaling:DeleteScalingPolicy",
    "application-autoscaling:DeregisterScalableTarget",
)
ENDPOINT_LOGS = "/aws/sagemaker/Endpoints"


def alarms(scope: Scope) -> list[str]:
    """Those that kennel makes, and those that scaling makes for the caller."""
    names = (*(f"kennel-{name}-*" for name in scope.endpoints),)
    tracked = (f"TargetTracking-endpoint/{name}/variant/*" for name in scope.endpoints)
    return [scope.arn("cloudwatch", f"alarm:{name}") for name in (*names, *tracked)]


def targets(scope: Scope) -> list[str]:
    """Scalable targets, whose names AWS makes up."""
    return [scope.arn("application-autoscaling", "scalable-target/*")]


def of_sagemaker(_: Scope) -> Condition:
    """Scaling of endpoints, not of anything else."""
    return {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}


def schedules(scope: Scope) -> list[str]:
    """The deletions of endpoints, and of their alarms."""
    return [
        scope.arn("scheduler", f"schedule/default/kennel-{kind}-{name}")
        for kind in ("endpoint", "alarms")
        for name in scope.endpoints
    ]


HOSTING = (
    Grant(
        sid="MakeModels",
        why="models: made with their tags, looked at, removed when nothing serves them",
        commands=("deploy",),
        actions=(
            *("sagemaker:CreateModel", "sagemaker:AddTags", "sagemaker:DescribeModel"),
            *("sagemaker:DeleteModel", "sagemaker:ListTags"),
        ),
        resources=lambda scope: scope.made("model", (*scope.parts, *scope.transforms)),
    ),
    Grant(
        sid="MakeConfigurations",
        why="configurations of endpoints, as models",
        commands=("deploy",),
        actions=(
            *("sagemaker:CreateEndpointConfig", "sagemaker:AddTags"),
            *("sagemaker:DescribeEndpointConfig", "sagemaker:DeleteEndpointConfig"),
            "sagemaker:ListTags",
        ),
        resources=lambda scope: scope.made("endpoint-config", scope.parts),
    ),
    Grant(
        sid="MakeEndpoints",
        why="endpoints: made, changed from one configuration to another, removed",
        commands=("deploy",),
        actions=("sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"),
        resources=lambda scope: [
            *scope.made("endpoint", scope.endpoints),
            *scope.made("endpoint-config", scope.parts),
        ],
    ),
    Grant(
        sid="ChangeEndpoints",
        why="tags, shares of the traffic, the end of an endpoint",
        commands=("deploy",),
        actions=(
            *("sagemaker:AddTags", "sagemaker:ListTags", "sagemaker:DescribeEndpoint"),
            *("sagemaker:DeleteEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"),
        ),
        resources=lambda scope: scope.made("endpoint", scope.endpoints),
    ),
    Grant(
        sid="FindConfigurations",
        why="older configurations of an endpoint; lists know no resource, so: in this region",
        commands=("deploy",),
        actions=("sagemaker:ListEndpointConfigs",),
        resources=everything,
        condition=here,
    ),
    Grant(
        sid="PassEndpointRole",
        why="the container works as this role",
        commands=("deploy",),
        actions=("iam:PassRole",),
        resources=lambda scope: scope.role(ENDPOINT),
        condition=passed_to("sagemaker.amazonaws.com"),
    ),
    Grant(
        sid="ScheduleDeletion",
        why="the end of an endpoint and its alarms, which AWS sees to",
        commands=("deploy", "scale"),
        actions=(
            *("scheduler:CreateSchedule", "scheduler:UpdateSchedule"),
            *("scheduler:GetSchedule", "scheduler:DeleteSchedule"),
        ),
        resources=schedules,
    ),
    Grant(
        sid="PassExpiryRole",
        why="the schedule deletes as this role",
        commands=("deploy", "scale", "lambda"),
        actions=("iam:PassRole",),
        resources=lambda scope: scope.role(EXPIRY),
        condition=passed_to("scheduler.amazonaws.com"),
    ),
    Grant(
        sid="SeeExpiryRole",
        why="that the role may delete what it is to delete",
        commands=("deploy", "scale", "lambda", "doctor"),
        actions=("iam:ListRolePolicies", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies"),
        resources=lambda scope: scope.role(EXPIRY),
    ),
    Grant(
        sid="WatchUpdates",
        why="alarms that take an update back; scaling makes its own for the caller",
        commands=("deploy", "scale"),
        actions=(
            *("cloudwatch:PutMetricAlarm", "cloudwatch:TagResource"),
            *("cloudwatch:DescribeAlarms", "cloudwatch:DeleteAlarms"),
        ),
        resources=alarms,
    ),
    Grant(
        sid="ExplainEndpoints",
        why="the last lines of a container that does not start",
        commands=("deploy",),
        actions=("logs:DescribeLogStreams", "logs:GetLogEvents"),
        resources=lambda scope: [
            arn for name in scope.endpoints for arn in scope.logs(f"{ENDPOINT_LOGS}/{name}")
        ],
    ),
    Grant(
        sid="SeeImages",
        why="that the image is there, and one that SageMaker takes",
        commands=("deploy",),
        actions=("ecr:DescribeImages",),
        resources=lambda scope: scope.serve_images,
    ),
)

ASKING = (
    Grant(
        sid="AskEndpoints",
        why="pictures to an endpoint",
        commands=("predict",),
        actions=(
            *("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync"),
            "sagemaker:DescribeEndpoint",
        ),
        resources=lambda scope: scope.made("endpoint", scope.endpoints),
    ),
    Grant(
        sid="SeeWhatIsAsked",
        why="what kind of endpoint it is, and where its models or answers lie",
        commands=("predict", "models", "scale"),
        actions=("sagemaker:DescribeEndpointConfig",),
        resources=lambda scope: scope.made("endpoint-config", scope.parts),
    ),
    Grant(
        sid="SeeModels",
        why="where the models of a multi-model endpoint lie",
        commands=("models",),
        actions=("sagemaker:DescribeModel",),
        resources=lambda scope: scope.made("model", scope.parts),
    ),
    Grant(
        sid="SeeEndpoints",
        why="that an endpoint is there, and how it is",
        commands=("models", "scale", "lambda"),
        actions=("sagemaker:DescribeEndpoint",),
        resources=lambda scope: scope.made("endpoint", scope.endpoints),
    ),
    Grant(
        sid="NameEndpoints",
        why="the names that are near one that is not there; lists know no resource",
        commands=("models", "scale", "lambda"),
        actions=("sagemaker:ListEndpoints",),
        resources=everything,
        condition=here,
    ),
    Grant(
        sid="RunTransforms",
        why="a batch: made with its tags, looked at, stopped",
        commands=("deploy",),
        actions=(
            *("sagemaker:CreateTransformJob", "sagemaker:AddTags"),
            *("sagemaker:DescribeTransformJob", "sagemaker:StopTransformJob"),
        ),
        resources=lambda scope: scope.made("transform-job", scope.transforms),
    ),
    Grant(
        sid="ExplainTransforms",
        why="why pictures of a batch have no answer",
        commands=("deploy",),
        actions=("logs:DescribeLogStreams", "logs:GetLogEvents"),
        resources=lambda scope: scope.logs(TRANSFORM_LOGS),
    ),
)

SCALING = (
    Grant(
        sid="Scale",
        why="scaling of an endpoint's variants, with its tags",
        commands=("scale", "deploy"),
        actions=(
            "application-autoscaling:RegisterScalableTarget",
            "application-autoscaling:PutScalingPolicy",
            *SCALING_ENDS,
        ),
        resources=targets,
        condition=of_sagemaker,
    ),
    Grant(
        sid="TagScaling",
        why="tags of it",
        commands=("scale", "deploy"),
        actions=("application-autoscaling:TagResource",),
        resources=targets,
    ),
    Grant(
        sid="SeeScaling",
        why="what is scaled, and how it went; AWS knows no resource for it, so: in this region",
        commands=("scale", "deploy", "list", "cleanup"),
        actions=(
            "application-autoscaling:DescribeScalableTargets",
            "application-autoscaling:DescribeScalingPolicies",
            "application-autoscaling:DescribeScalingActivities",
        ),
        resources=everything,
        condition=here,
    ),
    Grant(
        sid="ScaleForTheCaller",
        why="what AWS asks the caller to be allowed, and does later in its own name",
        commands=("scale", "deploy"),
        actions=("sagemaker:UpdateEndpointWeightsAndCapacities",),
        resources=lambda scope: scope.made("endpoint", scope.endpoints),
    ),
    Grant(
        sid="FirstScaling",
        why="AWS makes its own role with the account's first scaling of an endpoint",
        commands=("scale", "deploy"),
        actions=("iam:CreateServiceLinkedRole",),
        resources=lambda scope: [
            f"arn:{scope.partition}:iam::{scope.account}:role/aws-service-role/{SCALING_ROLE}"
        ],
        condition=for_service(SCALING_SERVICE),
    ),
)

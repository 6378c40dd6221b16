"""Rights of people who train: kennel run and kennel tune, in SageMaker and on EC2."""

from control.aws.access.conditions import (
    as_made_by,
    everything,
    for_service,
    here,
    of_kind,
    passed_to,
    through,
)
from control.aws.access.grant import Condition, Grant
from control.aws.access.scope import EC2, TRAINING, Scope

JOB_LOGS = "/aws/sagemaker/TrainingJobs"
SPOT_ROLE = "spot.amazonaws.com/AWSServiceRoleForEC2Spot"


def granted_to_aws(_: Scope) -> Condition:
    """Grants of a key that AWS's own resources use, such as a volume."""
    return {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def key_arns(scope: Scope) -> list[str]:
    """Keys of KMS; an alias stands for all keys, which a condition narrows."""
    found = []
    for key in scope.keys:
        named = "key/*" if key.startswith("alias/") or ":alias/" in key else f"key/{key}"
        found.append(key if ":key/" in key else scope.arn("kms", named))
    return found


JOBS = (
    Grant(
        sid="RunTrainingJobs",
        why="a training job: made with its tags, looked at, stopped",
        commands=("run", "tune"),
        actions=(
            *("sagemaker:CreateTrainingJob", "sagemaker:AddTags"),
            *("sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"),
        ),
        resources=lambda scope: scope.made("training-job", scope.training),
    ),
    Grant(
        sid="RunTuningJobs",
        why="a study: made with its tags, looked at, stopped",
        commands=("tune",),
        actions=(
            *("sagemaker:CreateHyperParameterTuningJob", "sagemaker:AddTags"),
            *("sagemaker:DescribeHyperParameterTuningJob", "sagemaker:StopHyperParameterTuningJob"),
            "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
        ),
        resources=lambda scope: scope.made("hyper-parameter-tuning-job", scope.tuning),
    ),
    Grant(
        sid="SeeTrials",
        why="what each trial of a study said",
        commands=("tune",),
        actions=("sagemaker:DescribeTrainingJob",),
        resources=lambda scope: scope.made("training-job", scope.tuning),
    ),
    Grant(
        sid="PassTrainingRole",
        why="SageMaker trains as this role",
        commands=("run", "tune"),
        actions=("iam:PassRole",),
        resources=lambda scope: scope.role(TRAINING),
        condition=passed_to("sagemaker.amazonaws.com"),
    ),
    Grant(
        sid="FindJobLogs",
        why="which logs a job has",
        commands=("run", "tune"),
        actions=("logs:DescribeLogStreams",),
        resources=lambda scope: scope.logs(JOB_LOGS),
    ),
    Grant(
        sid="ReadJobLogs",
        why="what a job says, while it runs",
        commands=("run", "tune"),
        actions=("logs:GetLogEvents",),
        resources=lambda scope: [
            arn
            for name in dict.fromkeys((*scope.training, *scope.tuning))
            for arn in scope.logs(JOB_LOGS, name)
        ],
    ),
    Grant(
        sid="EncryptVolumes",
        why="AWS unlocks the volumes of a job or an endpoint with the file's key",
        commands=("run", "tune", "deploy"),
        actions=("kms:CreateGrant", "kms:DescribeKey"),
        resources=key_arns,
        condition=granted_to_aws,
    ),
    Grant(
        sid="UseKeyInS3",
        why="what is read from and written to S3 is encrypted with the file's key",
        commands=("run", "tune", "data"),
        actions=("kms:Decrypt", "kms:GenerateDataKey"),
        resources=key_arns,
        condition=through("s3"),
    ),
)

MACHINES = (
    Grant(
        sid="StartInstances",
        why="--on ec2: one instance with its volume, both with our tag",
        commands=("run --on ec2",),
        actions=("ec2:RunInstances",),
        resources=lambda scope: [scope.arn("ec2", "instance/*"), scope.arn("ec2", "volume/*")],
        condition=of_kind("ec2", is_new=True),
    ),
    Grant(
        sid="StartInstancesFrom",
        why="... and what it starts from: an image of AWS's, a network",
        commands=("run --on ec2",),
        actions=("ec2:RunInstances",),
        resources=lambda scope: [
            f"arn:{scope.partition}:ec2:{scope.region}::image/*",
            *(
                scope.arn("ec2", f"{kind}/*")
                for kind in ("network-interface", "subnet", "security-group")
            ),
            *(scope.arn("ec2", f"key-pair/{name}") for name in scope.key_names),
        ],
    ),
    Grant(
        sid="TagInstances",
        why="tags, while it is started",
        commands=("run --on ec2",),
        actions=("ec2:CreateTags",),
        resources=lambda scope: [scope.arn("ec2", "instance/*"), scope.arn("ec2", "volume/*")],
        condition=as_made_by("RunInstances"),
    ),
    Grant(
        sid="EndInstances",
        why="an instance with our tag goes before its time",
        commands=("run --on ec2", "cleanup"),
        actions=("ec2:TerminateInstances",),
        resources=lambda scope: [scope.arn("ec2", "instance/*")],
        condition=of_kind("ec2"),
    ),
    Grant(
        sid="SeeInstances",
        why="what became of it; AWS knows no resource for it, so: in this region",
        commands=("run --on ec2", "list", "cleanup"),
        actions=("ec2:DescribeInstances",),
        resources=everything,
        condition=here,
    ),
    Grant(
        sid="FindImages",
        why="EC2 looks up the newest image for the caller",
        commands=("run --on ec2",),
        actions=("ssm:GetParameters",),
        resources=lambda scope: [
            f"arn:{scope.partition}:ssm:{scope.region}::parameter{name}"
            if name.startswith("/aws/")
            else scope.arn("ssm", f"parameter{name}")
            for name in scope.ami_parameters
        ],
    ),
    Grant(
        sid="PassInstanceRole",
        why="the instance works as this role",
        commands=("run --on ec2",),
        actions=("iam:PassRole",),
        resources=lambda scope: scope.role(EC2),
        condition=passed_to("ec2.amazonaws.com"),
    ),
    Grant(
        sid="FirstSpotInstance",
        why="EC2 makes its own role with the account's first spot instance",
        commands=("run --on ec2",),
        actions=("iam:CreateServiceLinkedRole",),
        resources=lambda scope: [
            f"arn:{scope.partition}:iam::{scope.account}:role/aws-service-role/{SPOT_ROLE}"
        ],
        condition=for_service("spot.amazonaws.com"),
    ),
)

"""An account in which things of ours and of strangers stand: made by the test's own clients."""

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from control.aws.tags import Tags

if TYPE_CHECKING:
    from aws_front import Aws

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/kennel-endpoint"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/kennel-serve-cpu:latest"
THEIRS = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/other:latest"
TTL_HOURS = 4
ENDS = ["sagemaker:DeleteEndpoint", "lambda:DeleteFunction", "cloudwatch:DeleteAlarms"]


def tags(name: str, kind: str = "endpoint", expires: datetime | None = None) -> Tags:
    """As the commands that make things tag them."""
    return Tags(name=name, kind=kind, expires=expires)


def put_endpoint(
    aws: "Aws",
    name: str,
    *,
    is_ours: bool = True,
    image: str = IMAGE,
    count: int = 2,
    ttl_hours: float = TTL_HOURS,
) -> None:
    """A model, a configuration and an endpoint, and the schedule that ends it."""
    client = aws.client("sagemaker")
    expires = datetime.now(UTC) + timedelta(hours=ttl_hours) if ttl_hours else None
    plain = {"Tags": tags(name).as_list()} if is_ours else {}
    client.create_model(
        ModelName=f"{name}-model",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": image, "ModelDataUrl": f"s3://models/{name}.tar.gz"},
        **plain,
    )
    variant = {
        "VariantName": "main",
        "ModelName": f"{name}-model",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
    }
    client.create_endpoint_config(
        EndpointConfigName=f"{name}-config", ProductionVariants=[variant], **plain
    )
    dated = {"Tags": tags(name, expires=expires).as_list()} if is_ours else {}
    client.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config", **dated)
    if is_ours and expires:
        put_schedule(aws, name, expires)


def put_schedule(aws: "Aws", name: str, at: datetime) -> None:
    """What deletes the endpoint when its time is over."""
    aws.client("scheduler").create_schedule(
        Name=f"kennel-endpoint-{name}",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:deleteEndpoint",
            "RoleArn": ROLE,
            "Input": json.dumps({"EndpointName": name}),
        },
    )


def put_scaling(aws: "Aws", endpoint: str) -> None:
    """A target and the policy that tracks it."""
    client = aws.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    client.register_scalable_target(**target, MinCapacity=1, MaxCapacity=3)
    client.put_scaling_policy(
        **target,
        PolicyName="kennel-tracking",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 10.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            },
        },
    )


def put_alarm(aws: "Aws", name: str, endpoint: str, *, is_ours: bool = True) -> None:
    """An alarm of one metric of the endpoint."""
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}],
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
        **({"Tags": tags(endpoint).as_list()} if is_ours else {}),
    )


def put_log_group(aws: "Aws", name: str, **of: str) -> None:
    """With tags when there are any."""
    aws.client("logs").create_log_group(logGroupName=name, **({"tags": of} if of else {}))


def put_function(aws: "Aws", name: str, *, is_ours: bool = True, memory_mb: int = 512) -> None:
    """A function that answers nothing, with a log group and a URL."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("lambda_function.py", "def handler(event, context): return {}\n")
    put_role(aws, "kennel-lambda", "lambda.amazonaws.com")
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=f"arn:aws:iam::{ACCOUNT}:role/kennel-lambda",
        Handler="lambda_function.handler",
        Code={"ZipFile": archive.getvalue()},
        MemorySize=memory_mb,
        **({"Tags": tags(name, "lambda").as_dict()} if is_ours else {}),
    )
    if is_ours:
        aws.client("lambda").create_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    put_log_group(aws, f"/aws/lambda/{name}")


def put_role(aws: "Aws", name: str, service: str, *, is_ours: bool = True) -> None:
    """A role that a service may take, with one policy; once."""
    client = aws.client("iam")
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    try:
        client.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(
                {"Version": "2012-10-17", "Statement": [statement]}
            ),
            **({"Tags": tags(name, "iam").as_list()} if is_ours else {}),
        )
    except client.exceptions.EntityAlreadyExistsException:
        return
    actions = ENDS if name == "kennel-expiry" else ["logs:PutLogEvents"]
    allow = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    client.put_role_policy(
        RoleName=name,
        PolicyName="kennel",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )


def put_instance(aws: "Aws", name: str, kind: str = "g4dn.xlarge") -> str:
    """An instance of EC2 that runs; its id."""
    client = aws.client("ec2")
    image = client.describe_images()["Images"][0]["ImageId"]
    answer = client.run_instances(
        ImageId=image,
        InstanceType=kind,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags(name, "ec2").as_list()}],
    )
    return str(answer["Instances"][0]["InstanceId"])


def put_training(aws: "Aws", name: str, *, count: int = 1) -> None:
    """A training job that runs: moto's are done at once, so listing and describing are staged."""
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/{name}"
    aws.client("sagemaker").create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://results/kennel"},
        ResourceConfig={
            "InstanceType": "ml.g4dn.xlarge",
            "InstanceCount": count,
            "VolumeSizeInGB": 50,
        },
        StoppingCondition={"MaxRuntimeInSeconds": 7200},
        Tags=tags(name.partition("-")[0], "training").as_list(),
    )
    summary = {
        "TrainingJobName": name,
        "TrainingJobArn": arn,
        "CreationTime": datetime.now(UTC).timestamp(),
        "TrainingJobStatus": "InProgress",
    }

    def running(asked: dict[str, Any]) -> dict[str, Any]:
        is_asked = asked.get("StatusEquals") == "InProgress"
        return {"TrainingJobSummaries": [summary] if is_asked else []}

    aws.answer("ListTrainingJobs", running)
    started = datetime.now(UTC) - timedelta(hours=1)
    aws.stages(
        "DescribeTrainingJob",
        {"TrainingJobStatus": "InProgress", "TrainingStartTime": started.timestamp()},
    )


def no_provisioned(aws: "Aws", *kept: dict[str, Any]) -> None:
    """What moto does not know of Lambda's."""
    aws.answer("ListProvisionedConcurrencyConfigs", {"ProvisionedConcurrencyConfigs": list(kept)})
    aws.answer("DeleteProvisionedConcurrencyConfig", {})

"""Requests for training jobs: pure functions from descriptions to CreateTrainingJob's fields.

Source: SageMaker API reference, CreateTrainingJob and HyperParameterTrainingJobDefinition.
"""

import re
from collections.abc import Mapping

from contract.errors import SpecError
from contract.metrics import metric_definitions
from control.aws.call import Request
from control.aws.tags import Tags
from control.aws_place import AwsPlace
from control.debug_request import request_for_debug
from control.job_spec import JobSpec
from control.s3 import S3Uri

CHECKPOINTS = "/opt/ml/checkpoints"  # where the platform looks for them unless told otherwise
KIND = "training"  # in the tag
LONGEST_SECONDS = 28 * 86_400
# Families with disks of their own, which the machine itself encrypts: AWS refuses a key for them.
_OWN_DISK = re.compile(r"ml\.(g5|g6e?|gr6|p5e?n?|trn\d\w*|[a-z]+\d+[a-z]*d[a-z]*)\..+")


def request_for_training_job(
    spec: JobSpec, place: AwsPlace, name: str, sources: Mapping[str, str] | None = None
) -> Request:
    """For CreateTrainingJob.

    Args:
        place: with the role's ARN and the image's URI (`control.aws.names.complete`).
        name: of the training job, never used before.
        sources: path of a rule's own file here -> where it lies in S3.

    Raises SpecError as `request_for_debug` does.
    """
    request: Request = {
        "TrainingJobName": name,
        "HyperParameters": dict(spec.hyperparameters),
        **training_parts(
            place,
            {channel: str(source) for channel, source in spec.channels.items()},
            spec.max_run_seconds,
        ),
    }
    if checkpoints := checkpoints_of(place, name):
        request["CheckpointConfig"] = {"S3Uri": checkpoints, "LocalPath": CHECKPOINTS}
    request |= request_for_debug(
        spec.debug,
        job=name,
        image=place.image,
        output=place.output.rstrip("/"),
        sources=sources,
    )
    tags = Tags(name=spec.name, kind=KIND, more=place.tags)
    return {**request, "Tags": tags.as_list()}


def training_parts(place: AwsPlace, channels: Mapping[str, str], limit_seconds: int) -> Request:
    """What a training job and the definition of a tuning job's jobs say in the same words.

    Args:
        place: with the role's ARN and the image's URI.
        channels: our names -> s3://BUCKET/PREFIX.
        limit_seconds: of one job's run; SIGTERM comes then.
    """
    output, resources = {"S3OutputPath": place.output.rstrip("/")}, _resources(place)
    if place.kms_key:
        output["KmsKeyId"] = place.kms_key
    parts: Request = {
        "RoleArn": place.role,
        "AlgorithmSpecification": {
            "TrainingImage": place.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": metric_definitions(),
        },
        "InputDataConfig": [_channel(name, uri) for name, uri in channels.items()],
        "OutputDataConfig": output,
        "ResourceConfig": resources,
        "StoppingCondition": _stopping(place, limit_seconds),
        "EnableManagedSpotTraining": place.spot,
        "EnableNetworkIsolation": place.network_isolation,
        "EnableInterContainerTrafficEncryption": place.encrypt_between_hosts,
    }
    if place.subnets:
        parts["VpcConfig"] = {
            "Subnets": list(place.subnets),
            "SecurityGroupIds": list(place.security_groups),
        }
    return parts


def checkpoints_of(place: AwsPlace, name: str) -> str:
    """Where a job's checkpoints lie in S3; empty without any.

    A spot job always has them, or it would begin anew after every interruption.
    """
    if place.checkpoints:
        return place.checkpoints.rstrip("/")
    return f"{place.output.rstrip('/')}/{name}/checkpoints" if place.spot else ""


def limit_of(place: AwsPlace, limit_seconds: int) -> int:
    """Seconds until AWS gives a job up, its wait for spot capacity included.

    Raises SpecError: it would wait for less time than it may run.
    """
    if not place.spot:
        return limit_seconds
    wait = place.max_wait_seconds or min(2 * limit_seconds, LONGEST_SECONDS)
    if wait < limit_seconds:
        raise SpecError(
            f"aws.max_wait_seconds: expected at least the {limit_seconds} s of max_run_seconds, "
            f"got {wait}"
        )
    return wait


def _stopping(place: AwsPlace, limit_seconds: int) -> Request:
    stopping = {"MaxRuntimeInSeconds": limit_seconds}
    if place.spot:
        stopping["MaxWaitTimeInSeconds"] = limit_of(place, limit_seconds)
    return stopping


def _resources(place: AwsPlace) -> Request:
    resources: Request = {
        "InstanceType": place.instance_type,
        "InstanceCount": place.instance_count,
        "VolumeSizeInGB": place.volume_gb,
    }
    if place.kms_key and not _OWN_DISK.fullmatch(place.instance_type):
        resources["VolumeKmsKeyId"] = place.kms_key
    return resources


def _channel(name: str, uri: str) -> Request:
    """Every host gets all of it: our training deals the pictures out itself."""
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                # `dogs/train` would mean `dogs/train-old/a.jpg`, too.
                "S3Uri": str(S3Uri.parse(uri).file_or_folder()),
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }

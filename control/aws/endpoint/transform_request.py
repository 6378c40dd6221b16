"""Requests for a batch transform: pure functions from a deployment to CreateTransformJob's fields.

Source: SageMaker API reference, CreateTransformJob.
"""

from contract.errors import SpecError
from control.aws.call import Call, Request
from control.aws.endpoint.deployment import DeploymentSpec
from control.aws.endpoint.host_image import Version, cuda_of, fits, has_gpu, has_local_disk
from control.aws.endpoint.request import Resolved, model_calls
from control.aws.endpoint.transform_spec import TransformSpec
from control.aws.tags import Tags
from control.s3 import S3Uri

KIND = "transform"  # in the tag
MANIFEST_NAME = "input.manifest"  # below a job's own folder in S3
USUAL_IN_FLIGHT = 64  # what our server takes unasked: serve/settings.py
# TransformAmiVersion: name, the newest CUDA that its driver knows. Source: SageMaker API reference,
# TransformResources (2026): drivers 470 and 535.
AMIS: dict[str, Version] = {
    "al2-ami-sagemaker-batch-gpu-470": (11, 4),
    "al2-ami-sagemaker-batch-gpu-535": (12, 2),
}


def request_for_transform_job(spec: DeploymentSpec, name: str) -> Request:
    """For CreateTransformJob.

    Args:
        name: of the job and of its model, never used before; also of the folder of its answers.

    Raises SpecError: no driver of batch transform's fits the image's CUDA.
    """
    transform = transform_of(spec)
    request: Request = {
        "TransformJobName": name,
        "ModelName": name,
        "MaxPayloadInMB": transform.max_payload_mb,
        "BatchStrategy": transform.strategy,
        "ModelClientConfig": {
            "InvocationsTimeoutInSeconds": transform.timeout_seconds,
            "InvocationsMaxRetries": transform.retries,
        },
        "Environment": _environment(spec, transform),
        "TransformInput": {
            "DataSource": {"S3DataSource": _source(transform, name)},
            "ContentType": transform.content_type,
            "SplitType": transform.split,
        },
        "TransformOutput": _output(spec, transform, name),
        "TransformResources": _resources(spec, transform),
        "Tags": Tags(name=spec.name, kind=KIND, more=spec.place.tags).as_list(),
    }
    if transform.max_concurrent:
        request["MaxConcurrentTransforms"] = transform.max_concurrent
    if processing := _data_processing(transform):
        request["DataProcessing"] = processing
    return request


def transform_calls(spec: DeploymentSpec, resolved: Resolved, name: str) -> list[Call]:
    """A model for this job alone, and the job; both have its name. Raises SpecError."""
    (made,) = model_calls(spec, resolved)
    tags = Tags(name=spec.name, kind=KIND, more=spec.place.tags).as_list()
    model = {**made.parameters, "ModelName": name, "Tags": tags}
    job = request_for_transform_job(spec, name)
    return [
        Call(service="sagemaker", operation="CreateModel", parameters=model),
        Call(service="sagemaker", operation="CreateTransformJob", parameters=job),
    ]


def manifest_call(transform: TransformSpec, name: str, manifest: bytes | str) -> Call:
    """Puts the list of pictures where the job looks for it; for --show, a word about it."""
    uri = manifest_of(transform, name)
    return Call(
        service="s3",
        operation="PutObject",
        parameters={
            "Bucket": uri.bucket,
            "Key": uri.key,
            "Body": manifest,
            "ContentType": "application/json",
        },
    )


def answers_of(transform: TransformSpec, name: str) -> S3Uri:
    """The folder of one job's answers."""
    return transform.output.join(name).folder()


def manifest_of(transform: TransformSpec, name: str) -> S3Uri:
    """Where a list of pictures that we write lies: beside the answers, not among them."""
    return transform.output.join(f"{name}-{MANIFEST_NAME}")


def transform_of(spec: DeploymentSpec) -> TransformSpec:
    """The table [transform], which every batch has."""
    assert isinstance(spec.transform, TransformSpec), "read_deployment refuses a batch without"
    return spec.transform


def _source(transform: TransformSpec, name: str) -> Request:
    if transform.is_manifest:
        return {"S3DataType": "ManifestFile", "S3Uri": str(transform.input)}
    if transform.is_only_pictures:
        return {"S3DataType": "ManifestFile", "S3Uri": str(manifest_of(transform, name))}
    return {"S3DataType": "S3Prefix", "S3Uri": str(transform.input)}


def _output(spec: DeploymentSpec, transform: TransformSpec, name: str) -> Request:
    # Our server ends each line of its answer itself; with Line, SageMaker adds its own to records.
    assemble = "Line" if transform.split == "Line" else "None"
    output = {
        "S3OutputPath": str(answers_of(transform, name)).rstrip("/"),
        "Accept": transform.accept,
        "AssembleWith": assemble,
    }
    return {**output, "KmsKeyId": spec.place.kms_key} if spec.place.kms_key else output


def _resources(spec: DeploymentSpec, transform: TransformSpec) -> Request:
    kind = spec.place.instance_type
    resources: Request = {"InstanceType": kind, "InstanceCount": spec.place.instance_count}
    if spec.place.kms_key and not has_local_disk(kind):
        resources["VolumeKmsKeyId"] = spec.place.kms_key
    if ami := _ami(spec, transform):
        resources["TransformAmiVersion"] = ami
    return resources


def _ami(spec: DeploymentSpec, transform: TransformSpec) -> str:
    """The machine image to ask for; empty where there is no GPU, or nobody knows the CUDA."""
    cuda = cuda_of(spec.place)
    if not has_gpu(spec.place.instance_type) or transform.ami or cuda is None:
        return transform.ami
    newest, knows = max(AMIS.items(), key=lambda item: item[1])
    if not fits(cuda, knows):
        raise SpecError(
            f"{spec.path}: aws.instance_type: the newest driver that batch transform has for "
            f"{spec.place.instance_type} knows CUDA {knows[0]}.{knows[1]} and the image has "
            f"{cuda[0]}.{cuda[1]}: take a CPU type such as ml.c5.xlarge, or name transform.ami"
        )
    return newest


def _environment(spec: DeploymentSpec, transform: TransformSpec) -> dict[str, str]:
    """What our server should know of a batch, less what the file's [aws.environment] says."""
    ours = {
        # A line of log for each of ten million requests would cost more than the machines.
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "30",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": str(transform.timeout_seconds),
    }
    if transform.max_concurrent > USUAL_IN_FLIGHT:
        ours["KENNEL_MAX_IN_FLIGHT"] = str(transform.max_concurrent)
    return {name: text for name, text in ours.items() if name not in spec.place.environment}


def _data_processing(transform: TransformSpec) -> Request:
    chosen = {"InputFilter": transform.input_filter, "OutputFilter": transform.output_filter}
    found = {name: text for name, text in chosen.items() if text}
    return {**found, "JoinSource": "Input"} if transform.is_joined else found

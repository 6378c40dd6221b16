"""Requests that make an endpoint: pure functions from a deployment to calls.

Models and configurations are named by a digest of what they say. So the same file gives the same
names, a changed one gives others, and what exists under a name is what was asked for.
Source: SageMaker API reference, CreateModel, CreateEndpointConfig, CreateEndpoint.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from control.aws.call import Call, Request
from control.aws.endpoint.deployment import DeploymentSpec
from control.aws.endpoint.host_image import host_image_for
from control.aws.endpoint.options import Asynchronous, Capture
from control.aws.endpoint.variant import Variant
from control.aws.tags import Tags

KIND = "endpoint"  # in the tag
PREVIOUS = "kennel:previous"  # tag of an endpoint: the configuration before the one it has
TTL = "kennel:ttl-hours"  # tag of an endpoint: what the file said
DIGEST_CHARACTERS = 12
# Our server's names, see docs/api.md: 0 is "as large as asynchronous inference sends".
ASYNCHRONOUS_ENVIRONMENT = {
    "SAGEMAKER_MAX_PAYLOAD_IN_MB": "0",
    "SAGEMAKER_MODEL_SERVER_TIMEOUT": "3600",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a deployment leaves open, in AWS's full words."""

    role: str  # ARN of the container's
    expiry_role: str  # ARN of the schedule's
    images: Mapping[str, str]  # variant -> URI
    data: Mapping[str, str]  # variant -> s3://.../model.tar.gz, or a multi-model endpoint's prefix


def model_calls(spec: DeploymentSpec, resolved: Resolved) -> list[Call]:
    """CreateModel for each different model; two variants may share one."""
    calls = {}
    for variant in spec.variants:
        call = _model_call(spec, resolved, variant)
        calls[call.parameters["ModelName"]] = call
    return list(calls.values())


def model_name(spec: DeploymentSpec, resolved: Resolved, variant: Variant) -> str:
    """Of the model that the variant serves."""
    return str(_model_call(spec, resolved, variant).parameters["ModelName"])


def config_call(spec: DeploymentSpec, resolved: Resolved) -> Call:
    """CreateEndpointConfig. Weights are not part of its name: they change without a new one."""
    request: Request = {
        "ProductionVariants": [
            _variant(spec, one, model_name(spec, resolved, one)) for one in spec.variants
        ]
    }
    if spec.asynchronous:
        request["AsyncInferenceConfig"] = _asynchronous(spec.asynchronous, spec.place.kms_key)
    if spec.capture:
        request["DataCaptureConfig"] = _capture(spec.capture)
    if spec.place.kms_key:
        request["KmsKeyId"] = spec.place.kms_key
    named = [
        {name: value for name, value in one.items() if name != "InitialVariantWeight"}
        for one in request["ProductionVariants"]
    ]
    name = _named(spec.name, {**request, "ProductionVariants": named})
    return Call(
        service="sagemaker",
        operation="CreateEndpointConfig",
        parameters={"EndpointConfigName": name, **request, "Tags": tags_of_parts(spec)},
    )


def create_call(spec: DeploymentSpec, config: str, expires: datetime | None) -> Call:
    """CreateEndpoint."""
    more = {**spec.place.tags, TTL: f"{spec.ttl_hours:g}"}
    tags = Tags(name=spec.name, kind=KIND, expires=expires, more=more)
    return Call(
        service="sagemaker",
        operation="CreateEndpoint",
        parameters={
            "EndpointName": spec.name,
            "EndpointConfigName": config,
            "Tags": tags.as_list(),
        },
    )


def update_call(
    spec: DeploymentSpec,
    config: str,
    deployment: Request | None,
    *,
    is_counted_anew: bool = False,
) -> Call:
    """UpdateEndpoint. The number of machines that scaling chose is kept, unless told not to."""
    parameters: Request = {"EndpointName": spec.name, "EndpointConfigName": config}
    if spec.scaling and not is_counted_anew:
        parameters["RetainAllVariantProperties"] = True
        parameters["ExcludeRetainedVariantProperties"] = [
            {"VariantPropertyType": "DesiredWeight"},
            {"VariantPropertyType": "DataCaptureConfig"},
        ]
    if deployment:
        parameters["DeploymentConfig"] = deployment
    return Call(service="sagemaker", operation="UpdateEndpoint", parameters=parameters)


def weights_call(spec: DeploymentSpec, *, with_counts: bool = False) -> Call:
    """UpdateEndpointWeightsAndCapacities: the shares of the traffic, at once; machines, too."""
    desired = []
    for one in spec.variants:
        request: Request = {"VariantName": one.name, "DesiredWeight": one.weight}
        if with_counts and not spec.serverless:
            request["DesiredInstanceCount"] = one.instance_count
        elif with_counts and spec.serverless and spec.serverless.provisioned_concurrency:
            kept = spec.serverless.provisioned_concurrency
            request["ServerlessUpdateConfig"] = {"ProvisionedConcurrency": kept}
        desired.append(request)
    return Call(
        service="sagemaker",
        operation="UpdateEndpointWeightsAndCapacities",
        parameters={"EndpointName": spec.name, "DesiredWeightsAndCapacities": desired},
    )


def sagemaker_call(operation: str, **parameters: Any) -> Call:
    """A call of SageMaker's with few parameters, e.g. DescribeEndpoint."""
    return Call(service="sagemaker", operation=operation, parameters=parameters)


def tags_of_parts(spec: DeploymentSpec) -> list[dict[str, str]]:
    """The tags of models and configurations: they do not expire, they cost nothing."""
    return Tags(name=spec.name, kind=KIND, more=spec.place.tags).as_list()


def _model_call(spec: DeploymentSpec, resolved: Resolved, variant: Variant) -> Call:
    place = spec.place
    container: Request = {
        "Image": resolved.images[variant.name],
        "ModelDataUrl": resolved.data[variant.name],
    }
    if spec.multi_model:
        setting = "Enabled" if spec.multi_model.is_cached else "Disabled"
        container |= {"Mode": "MultiModel", "MultiModelConfig": {"ModelCacheSetting": setting}}
    usual = ASYNCHRONOUS_ENVIRONMENT if spec.kind == "asynchronous" else {}
    if environment := {**usual, **place.environment}:
        container["Environment"] = environment
    request: Request = {"ExecutionRoleArn": resolved.role, "PrimaryContainer": container}
    if place.network_isolation:
        request["EnableNetworkIsolation"] = True
    if place.subnets:
        request["VpcConfig"] = {
            "Subnets": list(place.subnets),
            "SecurityGroupIds": list(place.security_groups),
        }
    name = _named(spec.name, request)
    return Call(
        service="sagemaker",
        operation="CreateModel",
        parameters={"ModelName": name, **request, "Tags": tags_of_parts(spec)},
    )


def _variant(spec: DeploymentSpec, variant: Variant, model: str) -> Request:
    request: Request = {
        "VariantName": variant.name,
        "ModelName": model,
        "InitialVariantWeight": variant.weight,
    }
    if spec.serverless:
        config = {
            "MemorySizeInMB": spec.serverless.memory_mb,
            "MaxConcurrency": spec.serverless.max_concurrency,
        }
        if spec.serverless.provisioned_concurrency:
            config["ProvisionedConcurrency"] = spec.serverless.provisioned_concurrency
        return {**request, "ServerlessConfig": config}
    least = spec.scaling.minimum if spec.scaling else 1
    request |= {
        "InstanceType": variant.instance_type,
        "InitialInstanceCount": max(variant.instance_count, least),
        "ModelDataDownloadTimeoutInSeconds": spec.place.startup_seconds,
        "ContainerStartupHealthCheckTimeoutInSeconds": spec.place.startup_seconds,
    }
    if host := host_image_for(variant.instance_type, spec.place):
        request["InferenceAmiVersion"] = host
    return request


def _asynchronous(options: Asynchronous, kms_key: str) -> Request:
    output: Request = {"S3OutputPath": options.output, "S3FailurePath": options.failure}
    topics = {"SuccessTopic": options.success_topic, "ErrorTopic": options.error_topic}
    if given := {name: topic for name, topic in topics.items() if topic}:
        output["NotificationConfig"] = given
    if kms_key:
        output["KmsKeyId"] = kms_key
    request: Request = {"OutputConfig": output}
    if options.max_concurrent:
        request["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": options.max_concurrent}
    return request


def _capture(options: Capture) -> Request:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": options.percent,
        "DestinationS3Uri": options.s3,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }


def _named(name: str, request: Request) -> str:
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS]}"

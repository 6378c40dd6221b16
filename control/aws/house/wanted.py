"""Wanted: what a job, a study or a deployment needs in AWS, whichever of the three a file is."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from control.aws.ec2.instance_plan import check_instance_type
from control.aws.endpoint.deployment import DeploymentSpec, read_deployment
from control.aws.endpoint.host_image import image_of
from control.aws.endpoint.payload import MOST_BYTES, Answering
from control.aws.endpoint.plan import check_parts
from control.aws.machines import check_training
from control.aws_place import AwsPlace
from control.job_spec import read_job_file
from control.s3 import S3Uri, Source
from control.toml_file import read_toml
from control.tuning_file import read_tuning

Use = Literal["training", "spot training", "endpoint", "transform", "ec2", "spot ec2"]
SAGEMAKER, SCHEDULER, EC2 = (
    "sagemaker.amazonaws.com",
    "scheduler.amazonaws.com",
    "ec2.amazonaws.com",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What must be there before the first request."""

    machines: Counter[tuple[str, Use]] = field(default_factory=Counter)  # -> how many at a time
    roles: tuple[tuple[str, str], ...] = ()  # name or ARN, and the service that must be trusted
    images: tuple[str, ...] = ()
    is_hosted: bool = False  # the images are for CreateModel, which refuses OCI's manifests
    inputs: tuple[str, ...] = ()  # s3://... that must hold something
    outputs: tuple[str, ...] = ()  # s3://... whose bucket must exist
    bundles: tuple[Source, ...] = ()
    payload_mb: int | None = None  # the most that a request may have
    deployment: DeploymentSpec | None = None


def read_wanted(path: Path) -> Wanted:
    """What the file asks for. Raises SpecError and its like, as the command that runs it would."""
    data = read_toml(path, "job, tuning or deployment description")
    if is_tuning(data):
        return _of_tuning(path)
    if is_deployment(data):
        return _of_deployment(read_deployment(path))
    job = read_job_file(path)
    wanted, place = _of_place(job.aws), job.ec2
    if "ec2" not in data:
        return wanted
    if job.aws:
        check_instance_type(job.aws.image, place)
    use: Use = "spot ec2" if place.spot else "ec2"
    return replace(
        wanted,
        machines=wanted.machines + Counter({(place.instance_type, use): 1}),
        roles=(*wanted.roles, (place.role, EC2)),
    )


def is_tuning(data: Mapping[str, object]) -> bool:
    """Whether a file describes a study."""
    return "ranges" in data or "tuning" in data


def is_deployment(data: Mapping[str, object]) -> bool:
    """Whether a file describes an endpoint or a batch; what is neither is a job."""
    ours = {"kind", "bundle", "variants", "serverless", "multi_model", "transform"}
    return bool(ours & data.keys())


def _of_place(place: AwsPlace | None, at_once: int = 1) -> Wanted:
    """`at_once`: how many jobs of this kind run at a time."""
    if place is None:
        return Wanted()
    check_training(place)
    use: Use = "spot training" if place.spot else "training"
    return Wanted(
        machines=Counter({(place.instance_type, use): place.instance_count * at_once}),
        roles=((place.role, SAGEMAKER),),
        images=(place.image,),
        inputs=tuple(str(S3Uri.parse(uri).file_or_folder()) for uri in place.channels.values()),
        outputs=(place.output,),
    )


def _of_tuning(path: Path) -> Wanted:
    tuning = read_tuning(path)
    return _of_place(tuning.aws, tuning.spec.max_parallel_jobs)


def _of_deployment(spec: DeploymentSpec) -> Wanted:
    place, kind = spec.place, spec.kind
    check_parts(spec)
    machines: Counter[tuple[str, Use]] = Counter()
    for variant in spec.variants:
        if kind != "serverless":
            use: Use = "transform" if kind == "batch" else "endpoint"
            machines[variant.instance_type, use] += variant.instance_count
    roles = [(place.role, SAGEMAKER)]
    if spec.ttl_hours and kind != "batch":
        roles.append((place.expiry_role, SCHEDULER))
    outputs = [place.artifacts] if place.artifacts else []
    outputs += [spec.asynchronous.output] if spec.asynchronous else []
    outputs += [spec.capture.s3] if spec.capture else []
    outputs += [str(spec.transform.output)] if spec.transform else []
    outputs += [str(spec.multi_model.prefix)] if spec.multi_model else []
    bundles = [one.bundle for one in spec.variants if one.bundle is not None]
    bundles += list(spec.multi_model.models.values()) if spec.multi_model else []
    return Wanted(
        machines=machines,
        roles=tuple(roles),
        images=tuple(dict.fromkeys(image_of(place, one.instance_type) for one in spec.variants)),
        is_hosted=True,
        inputs=(str(spec.transform.input),) if spec.transform else (),
        outputs=tuple(outputs),
        bundles=tuple(bundles),
        payload_mb=_payload_mb(spec),
        deployment=spec,
    )


def _payload_mb(spec: DeploymentSpec) -> int:
    if spec.transform:
        return int(spec.transform.max_payload_mb)
    kind: Answering = "real-time"
    if spec.kind in ("serverless", "asynchronous"):
        kind = spec.kind
    return MOST_BYTES[kind] // 1024**2

"""TrainingPlan: the calls that make a training job, and what it may cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import ChannelError, SpecError
from contract.hyperparameters import parse_hyperparameters
from contract.rule_request import RULE_INSTANCE
from control.aws.account import Account
from control.aws.call import Call
from control.aws.job.training_request import limit_of, request_for_training_job
from control.aws.machines import check_training
from control.aws.money import Cost, instances
from control.aws.names import complete, stamped
from control.aws_place import AwsPlace
from control.job_spec import JobSpec
from control.s3 import S3Uri
from control.terminal import duration


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What is sent for one job, in this order; the last call creates it."""

    name: str  # of the training job
    calls: tuple[Call, ...]
    costs: tuple[Cost, ...]
    image: str
    notes: tuple[str, ...] = ()


def plan_training(spec: JobSpec, account: Account, at: float | None = None) -> TrainingPlan:
    """Asks AWS for nothing but what short names of role and image stand for.

    Args:
        at: seconds since 1970, for the job's name; now.

    Raises SpecError: no [aws], or what AWS would refuse; ChannelError: weights out of reach;
    UsageError, AwsError for short names.
    """
    if spec.aws is None:
        raise SpecError(f"job {spec.name}: --on aws needs a table [aws]: see jobs/dogs_aws.toml")
    _check_weights(spec, spec.aws)
    check_training(spec.aws)
    place = complete(spec.aws, account)
    name = stamped(spec.name, at=at)
    uploads, sources = _own_rules(spec, place, name)
    request = request_for_training_job(spec, place, name, sources)
    create = Call(service="sagemaker", operation="CreateTrainingJob", parameters=request)
    return TrainingPlan(
        name=name, calls=(*uploads, create), costs=costs_of(spec, place), image=place.image
    )


def costs_of(spec: JobSpec, place: AwsPlace) -> tuple[Cost, ...]:
    """At worst: AWS charges no more than the time limit, and nothing while a spot job waits."""
    hours = spec.max_run_seconds / 3600
    cost = instances(
        place.instance_count, place.instance_type, "training", f"training {spec.name}", hours
    )
    if place.spot:
        wait = duration(limit_of(place, spec.max_run_seconds))
        note = f"spot: usually a third of it; ends within {wait}, and waiting is free"
        cost = Cost(what=cost.what, per_hour=cost.per_hour, hours=cost.hours, note=note)
    rules = len(spec.debug.rules)
    if not rules:
        return (cost,)
    what = f"its {rules} rule{'s' if rules > 1 else ''}"
    return (cost, instances(rules, RULE_INSTANCE, "training", what, hours))


def _check_weights(spec: JobSpec, place: AwsPlace) -> None:
    """Found out here, where it costs nothing."""
    has_weights = {"pretrained", "model"} & spec.channels.keys()
    wanted = parse_hyperparameters(spec.hyperparameters).values.pretrained
    if place.network_isolation and wanted and not has_weights:
        raise ChannelError(
            "aws.network_isolation: the job cannot download pretrained weights: add a pretrained "
            "channel under [aws.channels], or set pretrained = false"
        )


def _own_rules(
    spec: JobSpec, place: AwsPlace, name: str
) -> tuple[tuple[Call, ...], dict[str, str]]:
    """Uploads of the rules' own files, and where each will lie."""
    calls: list[Call] = []
    sources: dict[str, str] = {}
    for rule in spec.debug.rules:
        if not rule.source or rule.source in sources:
            continue
        uri = S3Uri.parse(place.output).join(name).join("rules").join(Path(rule.source).name)
        calls.append(_upload(Path(rule.source), uri, place.kms_key))
        sources[rule.source] = str(uri)
    return tuple(calls), sources


def _upload(path: Path, uri: S3Uri, kms_key: str) -> Call:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise SpecError(f"the rule's file {path} cannot be read: {error.strerror}") from None
    parameters: dict[str, Any] = {"Bucket": uri.bucket, "Key": uri.key, "Body": body}
    if kms_key:
        parameters |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}
    return Call(service="s3", operation="PutObject", parameters=parameters)

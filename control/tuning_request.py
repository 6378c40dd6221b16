"""Requests to SageMaker for a Tuning: pure functions from the description to plain data."""

from collections.abc import Mapping
from dataclasses import replace

from contract.errors import ChannelError, SpecError
from contract.ranges import (
    CategoricalRange,
    ContinuousRange,
    IntegerRange,
    Range,
    text_for,
    text_of,
)
from contract.tuning import NAME_PATTERN, TuningSpec
from contract.tuning_parts import WarmStart
from control.aws.call import Call, Request
from control.aws.job.training_request import training_parts
from control.aws.tags import Tags
from control.aws_place import AwsPlace
from control.job_spec import JobSpec
from control.tuning_file import Tuning

KIND = "tuning"  # in the tag


def request_for_tuning_job(tuning: Tuning, place: AwsPlace, name: str) -> Call:
    """CreateHyperParameterTuningJob: SageMaker tunes, each trial is a training job.

    Args:
        tuning: with channels in S3, and the parents' names in AWS.
        place: with the role's ARN and the image's URI (`control.aws.names.complete`).
        name: of the tuning job, never used before.

    Raises SpecError: a parent's name that cannot be a tuning job's, or checkpoints, which the
    trials would share; ChannelError: a channel is missing that every trial needs.
    """
    spec = tuning.spec
    _check(tuning)
    if place.checkpoints:
        raise SpecError(
            "aws.checkpoints: all trials of a tuning job would write to this one place: leave it "
            "out, or run the study with --in-one-job"
        )
    request: Request = {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": _config(spec),
        "TrainingJobDefinition": {
            "StaticHyperParameters": dict(spec.static),
            **training_parts(
                place,
                {channel: str(source) for channel, source in tuning.channels.items()},
                tuning.trial_seconds,
            ),
        },
    }
    if spec.warm_start:
        request["WarmStartConfig"] = _warm_start(spec.warm_start)
    request["Tags"] = Tags(name=spec.name, kind=KIND, more=place.tags).as_list()
    return Call(service="sagemaker", operation="CreateHyperParameterTuningJob", parameters=request)


def one_job(tuning: Tuning) -> JobSpec:
    """The whole study as a training job in AWS, for the runner of those.

    Its study file is its checkpoint, in a place that depends on the study's name alone, so that
    the next job of the same study goes on from there.
    Raises SpecError: several instances, parents, or a description too long; ChannelError as above.
    """
    _check(tuning)
    if tuning.spec.warm_start:
        raise SpecError(
            "warm_start: a study in one job finds no parents in AWS: leave --in-one-job out to let "
            "SageMaker tune, or leave [warm_start] out"
        )
    if tuning.aws is None:
        raise SpecError("--on aws needs a table [aws] in the tuning description or in its job")
    if tuning.aws.instance_count != 1:
        raise SpecError(
            "aws.instance_count: a study in one job runs on 1 instance, got "
            f"{tuning.aws.instance_count}"
        )
    kept = f"{tuning.aws.output.rstrip('/')}/{tuning.spec.name}/checkpoints"
    place = replace(tuning.aws, checkpoints=tuning.aws.checkpoints or kept)
    return replace(tuning.study_job(), aws=place)


def _warm_start(given: WarmStart) -> Request:
    for parent in given.parents:
        if not NAME_PATTERN.fullmatch(parent):
            raise SpecError(
                f"warm_start.parents: {parent!r} cannot be the name of a tuning job in AWS"
            )
    return {
        "ParentHyperParameterTuningJobs": [
            {"HyperParameterTuningJobName": parent} for parent in given.parents
        ],
        "WarmStartType": given.type,
    }


def _check(tuning: Tuning) -> None:
    """Raises ChannelError: no trial could begin, or none would come to an objective."""
    if "train" not in tuning.channels:
        raise ChannelError(
            'no train channel: add train = "s3://BUCKET/PREFIX" under [aws.channels]'
        )
    tuning.check_objective(tuning.channels)


def _config(spec: TuningSpec) -> Request:
    limits = {
        "MaxNumberOfTrainingJobs": spec.num_jobs,
        "MaxParallelTrainingJobs": min(spec.max_parallel_jobs, spec.num_jobs),
        "MaxRuntimeInSeconds": spec.max_runtime_seconds,
    }
    config: Request = {
        "Strategy": spec.strategy,
        "HyperParameterTuningJobObjective": {
            "Type": spec.objective.goal,
            "MetricName": spec.objective.metric,
        },
        "ResourceLimits": {name: value for name, value in limits.items() if value is not None},
        "ParameterRanges": _ranges(spec.ranges),
        "TrainingJobEarlyStoppingType": spec.early_stopping,
        "RandomSeed": spec.seed,
    }
    if spec.hyperband:
        config["StrategyConfig"] = {
            "HyperbandStrategyConfig": {
                "MinResource": spec.hyperband.min_resource,
                "MaxResource": spec.hyperband.max_resource,
            }
        }
    if criteria := _completion(spec):
        config["TuningJobCompletionCriteria"] = criteria
    return config


def _completion(spec: TuningSpec) -> Request:
    wanted = spec.completion
    criteria: Request = {}
    if wanted.target_objective is not None:
        criteria["TargetObjectiveMetricValue"] = wanted.target_objective
    if wanted.not_improving is not None:
        criteria["BestObjectiveNotImproving"] = {
            "MaxNumberOfTrainingJobsNotImproving": wanted.not_improving
        }
    if wanted.on_convergence:
        criteria["ConvergenceDetected"] = {"CompleteOnConvergence": "Enabled"}
    return criteria


def _ranges(ranges: Mapping[str, Range]) -> Request:
    """Lists by kind; SageMaker takes every value as text."""
    request: Request = {}
    for name, one in ranges.items():
        if isinstance(one, CategoricalRange):
            values = [text_for(name, value) for value in one.values]
            request.setdefault("CategoricalParameterRanges", []).append(
                {"Name": name, "Values": values}
            )
        else:
            kind = "Continuous" if isinstance(one, ContinuousRange) else "Integer"
            request.setdefault(f"{kind}ParameterRanges", []).append(_numeric(name, one))
    return request


def _numeric(name: str, one: ContinuousRange | IntegerRange) -> Request:
    return {
        "Name": name,
        "MinValue": text_of(one.minimum),
        "MaxValue": text_of(one.maximum),
        "ScalingType": one.scaling,
    }

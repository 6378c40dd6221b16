"""Requests to SageMaker for a Tuning: pure functions from the description to plain data."""

import time
from collections.abc import Mapping
from typing import Any

from contract.errors import SpecError
from contract.metrics import metric_definitions
from contract.ranges import (
    CategoricalRange,
    ContinuousRange,
    IntegerRange,
    Range,
    text_for,
    text_of,
)
from contract.tuning import NAME_PATTERN, TuningSpec
from control.tuning_file import AwsPlace, Tuning

# A training job's name is never free again: the job that continues a study needs another one.
STAMP = "%Y%m%d-%H%M%S"
CHECKPOINTS = "/opt/ml/checkpoints"  # where the platform looks for them unless told otherwise
Request = dict[str, Any]


def request_for_tuning_job(tuning: Tuning) -> Request:
    """For CreateHyperParameterTuningJob: SageMaker tunes, each trial is a training job.

    Raises SpecError: no [aws] table, or a parent's name that cannot be a tuning job's; and
    ChannelError: the objective is a test metric and there is no test channel.
    """
    spec, aws = tuning.spec, _aws_of(tuning)
    request: Request = {
        "HyperParameterTuningJobName": spec.name,
        "HyperParameterTuningJobConfig": _config(spec),
        "TrainingJobDefinition": {
            "StaticHyperParameters": dict(spec.static),
            **_training(aws, tuning.trial_seconds),
        },
    }
    if spec.warm_start:
        for parent in spec.warm_start.parents:
            if not NAME_PATTERN.fullmatch(parent):
                raise SpecError(
                    f"warm_start.parents: {parent!r} cannot be the name of a tuning job in AWS"
                )
        request["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [
                {"HyperParameterTuningJobName": parent} for parent in spec.warm_start.parents
            ],
            "WarmStartType": spec.warm_start.type,
        }
    return request


def request_for_one_job(tuning: Tuning) -> Request:
    """For CreateTrainingJob: one job on one instance is the whole study.

    Its study file is its checkpoint, in a place that depends on the study's name alone, so that
    the next job of the same study goes on from there.
    Raises SpecError: no [aws] table, several instances, parents, or a description too long.
    """
    aws = _aws_of(tuning)
    if tuning.spec.warm_start:
        raise SpecError(
            "warm_start: a study in one job finds no parents in AWS: leave --in-one-job out to let "
            "SageMaker tune, or leave [warm_start] out"
        )
    if aws.instance_count != 1:
        raise SpecError(
            f"aws.instance_count: a study in one job runs on 1 instance, got {aws.instance_count}"
        )
    root = aws.output.rstrip("/")
    return {
        "TrainingJobName": f"{tuning.spec.name}-{time.strftime(STAMP, time.gmtime())}",
        "HyperParameters": tuning.hyperparameters,
        **_training(aws, tuning.limit_seconds),
        "CheckpointConfig": {
            "S3Uri": f"{root}/{tuning.spec.name}/checkpoints",
            "LocalPath": CHECKPOINTS,
        },
    }


def _aws_of(tuning: Tuning) -> AwsPlace:
    if tuning.aws is None:
        raise SpecError(
            "--on aws needs a table [aws] in the tuning description, with image, role, output and "
            "channels: see docs/tuning.md"
        )
    tuning.check_objective(tuning.aws.channels)
    return tuning.aws


def _config(spec: TuningSpec) -> Request:
    limits = {
        "MaxNumberOfTrainingJobs": spec.num_jobs,
        "MaxParallelTrainingJobs": spec.max_parallel_jobs,
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


def _training(aws: AwsPlace, limit_seconds: int) -> Request:
    """What both requests say about a training job, in the same words."""
    stopping = {"MaxRuntimeInSeconds": limit_seconds}
    if aws.spot:  # waiting for capacity counts too
        stopping["MaxWaitTimeInSeconds"] = 2 * limit_seconds
    return {
        "RoleArn": aws.role,
        "AlgorithmSpecification": {
            "TrainingImage": aws.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": metric_definitions(),
        },
        "InputDataConfig": [
            {
                "ChannelName": name,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": uri,
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
            for name, uri in aws.channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": aws.output},
        "ResourceConfig": {
            "InstanceType": aws.instance_type,
            "InstanceCount": aws.instance_count,
            "VolumeSizeInGB": aws.volume_gb,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": aws.spot,
    }

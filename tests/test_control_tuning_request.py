"""The requests are what SageMaker's own model, as botocore ships it, accepts."""

import re
from pathlib import Path

import botocore.session
import pytest
from botocore.validate import ParamValidator
from tuning import GRID, HYPERBAND, spec_of

from contract.errors import ChannelError, SpecError
from contract.metrics import read_metrics
from contract.tuning import TUNING_KEY, TuningSpec
from control.tuning_file import AwsPlace, Tuning
from control.tuning_request import request_for_one_job, request_for_tuning_job

PLACE = AwsPlace(
    image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/kennel-train:1",
    role="arn:aws:iam::123456789012:role/kennel",
    output="s3://bucket/out/",
    channels={"train": "s3://bucket/train", "test": "s3://bucket/test"},
    spot=True,
)
STRATEGIES = {
    "Bayesian": {},
    "Random": {"strategy": "Random", "max_jobs": 10_000, "objective": "validation:accuracy"},
    "Grid": GRID,
    "Hyperband": HYPERBAND,
    "everything": {
        "objective": "validation:loss",
        "early_stopping": "Auto",
        "max_runtime_seconds": 3600,
        "target_objective": 0.5,
        "not_improving": 3,
        "on_convergence": True,
        "seed": 3,
        "static": {"arch": "resnet18"},
        "warm_start": {"parents": ["first", "second"]},
        "ranges": {
            "lr": {"min": 1e-05, "max": 0.1},
            "epochs": {"min": 3, "max": 10},
            "momentum": {"min": 0.5, "max": 0.99, "scaling": "ReverseLogarithmic"},
            "use_pretrained_model": [True, False],
        },
    },
}


@pytest.fixture(scope="module")
def accepts():
    """What botocore says against a request; empty when nothing."""
    model = botocore.session.get_session().get_service_model("sagemaker")

    def check(operation, request):
        shape = model.operation_model(operation).input_shape
        return ParamValidator().validate(request, shape).generate_report()

    return check


def tuning_of(**changes):
    return Tuning(spec=spec_of(**changes), channels={"test": Path()}, aws=PLACE)


@pytest.mark.parametrize("changes", STRATEGIES.values(), ids=STRATEGIES)
def test_sagemaker_accepts_every_strategy(accepts, changes):
    tuning = tuning_of(**changes)
    assert accepts("CreateHyperParameterTuningJob", request_for_tuning_job(tuning)) == ""
    alone = tuning_of(**{**changes, "warm_start": None})
    assert accepts("CreateTrainingJob", request_for_one_job(alone)) == ""


def test_the_request_says_what_the_description_says():
    request = request_for_tuning_job(tuning_of(**STRATEGIES["everything"]))
    config = request["HyperParameterTuningJobConfig"]
    assert config["ParameterRanges"] == {
        "ContinuousParameterRanges": [
            {"Name": "lr", "MinValue": "1e-05", "MaxValue": "0.1", "ScalingType": "Logarithmic"},
            {
                "Name": "momentum",
                "MinValue": "0.5",
                "MaxValue": "0.99",
                "ScalingType": "ReverseLogarithmic",
            },
        ],
        "IntegerParameterRanges": [
            {"Name": "epochs", "MinValue": "3", "MaxValue": "10", "ScalingType": "Linear"}
        ],
        "CategoricalParameterRanges": [{"Name": "pretrained", "Values": ["true", "false"]}],
    }
    assert request["TrainingJobDefinition"]["StaticHyperParameters"] == {"arch": "resnet18"}
    assert config["TuningJobCompletionCriteria"] == {
        "TargetObjectiveMetricValue": 0.5,
        "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3},
        "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"},
    }
    assert (config["RandomSeed"], config["TrainingJobEarlyStoppingType"]) == (3, "Auto")
    parents = request["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
    assert [parent["HyperParameterTuningJobName"] for parent in parents] == ["first", "second"]


def test_the_objective_is_among_the_metrics_that_are_defined():
    request = request_for_tuning_job(tuning_of())
    objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    assert objective == {"Type": "Minimize", "MetricName": "test:loss"}
    metrics = request["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    assert "test:loss" in [metric["Name"] for metric in metrics]
    assert read_metrics("test:loss=0.500000;") == {"test:loss": 0.5}


def test_hyperband_counts_epochs():
    config = request_for_tuning_job(tuning_of(**HYPERBAND))["HyperParameterTuningJobConfig"]
    assert config["StrategyConfig"]["HyperbandStrategyConfig"] == {
        "MinResource": 1,
        "MaxResource": 9,
    }


def test_in_one_job_the_study_is_a_hyperparameter_and_its_file_a_checkpoint():
    tuning = tuning_of(static={"epochs": "5"})
    request = request_for_one_job(tuning)
    text = request["HyperParameters"][TUNING_KEY]
    assert TuningSpec.from_hyperparameter(text, {"epochs": "5"}) == tuning.spec
    assert request["CheckpointConfig"]["S3Uri"] == "s3://bucket/out/dogs/checkpoints"
    assert re.fullmatch(r"dogs-\d{8}-\d{6}", request["TrainingJobName"])
    assert request["StoppingCondition"]["MaxRuntimeInSeconds"] == 20 * 86_400


@pytest.mark.parametrize(
    ("changes", "place", "says"),
    [
        ({}, None, r"needs a table \[aws\]"),
        ({"warm_start": {"parents": ["runs/0001-x"]}}, PLACE, "cannot be the name of a tuning job"),
    ],
)
def test_what_cannot_be_asked_of_aws_is_said(changes, place, says):
    with pytest.raises(SpecError, match=says):
        request_for_tuning_job(Tuning(spec=spec_of(**changes), channels={}, aws=place))


def test_a_test_objective_needs_a_test_channel_in_s3():
    place = AwsPlace(image="i", role="r", output="s3://b", channels={"train": "s3://b/train"})
    with pytest.raises(ChannelError, match="needs a test channel"):
        request_for_tuning_job(Tuning(spec=spec_of(), channels={"test": Path()}, aws=place))


def test_a_study_in_one_job_has_no_parents():
    tuning = Tuning(
        spec=spec_of(warm_start={"parents": ["first"]}), channels={"test": Path()}, aws=PLACE
    )
    with pytest.raises(SpecError, match="a study in one job finds no parents in AWS"):
        request_for_one_job(tuning)


def test_a_study_in_one_job_has_one_instance():
    place = AwsPlace(
        image="i", role="r", output="s3://b", channels=PLACE.channels, instance_count=2
    )
    with pytest.raises(SpecError, match="runs on 1 instance, got 2"):
        request_for_one_job(Tuning(spec=spec_of(), channels={}, aws=place))


def test_batch_size_auto_is_a_word_for_sagemaker_too():
    request = request_for_tuning_job(tuning_of(ranges={"batch-size": ["auto", 32]}))
    ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert ranges["CategoricalParameterRanges"] == [
        {"Name": "batch-size", "Values": ["auto", "32"]}
    ]

"""The requests are what SageMaker's own model, as botocore ships it, accepts."""

from dataclasses import replace
from pathlib import Path

import botocore.session
import pytest
from botocore.validate import ParamValidator
from plans import check_plan
from tuning import GRID, HYPERBAND, spec_of

from contract.errors import ChannelError, SpecError
from contract.metrics import read_metrics
from contract.tuning import TUNING_KEY, TuningSpec
from control.aws.account import Account
from control.aws.job.training_request import request_for_training_job
from control.aws.tuning.run_tuning import TuningRunner
from control.aws_place import AwsPlace
from control.s3 import S3Uri
from control.tuning_file import Tuning, read_tuning
from control.tuning_request import one_job, request_for_tuning_job

EXAMPLE = Path(__file__).resolve().parents[1] / "jobs" / "dogs_tuning_aws.toml"
PLACE = AwsPlace(
    image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/kennel-train:1",
    role="arn:aws:iam::123456789012:role/kennel",
    output="s3://bucket/out/",
    spot=True,
    tags={"team": "dogs"},
)
CHANNELS = {name: S3Uri("bucket", name) for name in ("train", "test")}
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
    return Tuning(spec=spec_of(**changes), channels=CHANNELS, aws=PLACE)


def tuning_job(**changes):
    """The parameters of CreateHyperParameterTuningJob."""
    return request_for_tuning_job(tuning_of(**changes), PLACE, "dogs-1").parameters


def test_training_jobs_choose_their_best_epoch_by_the_objective_of_the_tuning_job():
    given = tuning_job(objective="validation:loss")["TrainingJobDefinition"]
    assert given["StaticHyperParameters"]["objective"] == "validation:loss"


def training_job(tuning):
    """The parameters of the CreateTrainingJob that is the whole study."""
    spec = one_job(tuning)
    return request_for_training_job(spec, spec.aws, "dogs-1")


@pytest.mark.parametrize("changes", STRATEGIES.values(), ids=STRATEGIES)
def test_sagemaker_accepts_every_strategy(accepts, changes):
    assert accepts("CreateHyperParameterTuningJob", tuning_job(**changes)) == ""
    alone = tuning_of(**{**changes, "warm_start": None})
    assert accepts("CreateTrainingJob", training_job(alone)) == ""


def test_the_request_says_what_the_description_says():
    request = tuning_job(**STRATEGIES["everything"])
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
    given = request["TrainingJobDefinition"]["StaticHyperParameters"]
    assert given == {"arch": "resnet18", "objective": "validation:loss"}
    assert config["TuningJobCompletionCriteria"] == {
        "TargetObjectiveMetricValue": 0.5,
        "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3},
        "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"},
    }
    assert (config["RandomSeed"], config["TrainingJobEarlyStoppingType"]) == (3, "Auto")
    parents = request["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
    assert [parent["HyperParameterTuningJobName"] for parent in parents] == ["first", "second"]


def test_the_objective_is_among_the_metrics_that_are_defined():
    request = tuning_job()
    objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    assert objective == {"Type": "Minimize", "MetricName": "test:loss"}
    metrics = request["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    assert "test:loss" in [metric["Name"] for metric in metrics]
    assert read_metrics("test:loss=0.500000;") == {"test:loss": 0.5}


def test_hyperband_counts_epochs():
    config = tuning_job(**HYPERBAND)["HyperParameterTuningJobConfig"]
    assert config["StrategyConfig"]["HyperbandStrategyConfig"] == {
        "MinResource": 1,
        "MaxResource": 9,
    }


def test_in_one_job_the_study_is_a_hyperparameter_and_its_file_a_checkpoint():
    tuning = tuning_of(static={"epochs": "5"})
    request = training_job(tuning)
    text = request["HyperParameters"][TUNING_KEY]
    assert TuningSpec.from_hyperparameter(text, {"epochs": "5"}) == tuning.spec
    assert request["CheckpointConfig"]["S3Uri"] == "s3://bucket/out/dogs/checkpoints"
    assert request["StoppingCondition"]["MaxRuntimeInSeconds"] == 20 * 86_400


def test_a_parent_needs_a_name_that_aws_allows():
    with pytest.raises(SpecError, match="cannot be the name of a tuning job"):
        tuning_job(warm_start={"parents": ["runs/0001-x"]})


def test_trials_share_no_checkpoints():
    place = replace(PLACE, checkpoints="s3://bucket/kept")
    with pytest.raises(SpecError, match="would write to this one place"):
        request_for_tuning_job(tuning_of(), place, "dogs-1")


@pytest.mark.parametrize("wanted", ["train", "test"])
def test_every_trial_needs_its_channels_in_s3(wanted):
    channels = {name: uri for name, uri in CHANNELS.items() if name != wanted}
    tuning = Tuning(spec=spec_of(), channels=channels, aws=PLACE)
    with pytest.raises(ChannelError, match=f"{wanted} channel"):
        request_for_tuning_job(tuning, PLACE, "dogs-1")


def test_a_study_in_one_job_has_no_parents():
    tuning = tuning_of(warm_start={"parents": ["first"]})
    with pytest.raises(SpecError, match="a study in one job finds no parents in AWS"):
        one_job(tuning)


def test_a_study_in_one_job_has_one_instance():
    tuning = replace(tuning_of(), aws=replace(PLACE, instance_count=2))
    with pytest.raises(SpecError, match="runs on 1 instance, got 2"):
        one_job(tuning)


def test_tags_reach_the_tuning_job_and_with_it_its_trials():
    tags = {tag["Key"]: tag["Value"] for tag in tuning_job()["Tags"]}
    assert tags["team"] == "dogs"
    assert (tags["kennel:name"], tags["kennel:kind"]) == ("dogs", "tuning")


def test_the_example_is_the_plan_that_was_reviewed():
    tuning = read_tuning(EXAMPLE, in_aws=True)
    plan = TuningRunner(account=Account(), look_again="").plan(tuning, at=0)
    check_plan("tune_dogs_aws", plan.calls)
    assert plan.name == "dogs-tuning-19700101-000000"
    (cost,) = plan.costs
    assert cost.hours == 20 / 4 * 3600 / 3600  # trials / at once * max_run_seconds
    assert cost.what.startswith("4 x ml.m5.xlarge, 20 trials")


def test_batch_size_auto_is_a_word_for_sagemaker_too():
    request = tuning_job(ranges={"batch-size": ["auto", 32]})
    ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert ranges["CategoricalParameterRanges"] == [
        {"Name": "batch-size", "Values": ["auto", "32"]}
    ]


@pytest.mark.parametrize("strategy", [{"max_jobs": 5}, GRID])
def test_no_more_trials_at_once_are_asked_for_than_there_are(strategy):
    tuning = Tuning(spec=spec_of(**strategy, max_parallel_jobs=20), channels=CHANNELS)
    config = request_for_tuning_job(tuning, PLACE, "dogs").parameters
    limits = config["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits["MaxParallelTrainingJobs"] == limits["MaxNumberOfTrainingJobs"] < 20

"""A tuning description is read closed, typed by the table and held to SageMaker's limits."""

import json

import pytest
from tuning import GRID, HYPERBAND, described, spec_of

from contract.errors import HyperparameterError, SpecError
from contract.hyperparameters import parse_hyperparameters
from contract.ranges import CategoricalRange, ContinuousRange, IntegerRange
from contract.tuning import TUNING_KEY, TuningSpec
from contract.tuning_parts import Completion, Hyperband, Objective, WarmStart

EVERYTHING = {
    "strategy": "Random",
    "objective": "validation:accuracy",
    "max_parallel_jobs": 4,
    "max_runtime_seconds": 3600,
    "early_stopping": "auto",
    "target_objective": 0.0,
    "not_improving": 3,
    "on_convergence": True,
    "seed": 7,
    "warm_start": {"parents": ["0001-dogs"], "type": "TransferLearning"},
    "static": {"optimizer": "sgd"},
}


def test_the_classic_search_is_read_with_typed_values():
    spec = spec_of()
    assert spec.objective == Objective(metric="test:loss", goal="Minimize")
    assert spec.ranges == {
        "lr": ContinuousRange(minimum=0.001, maximum=0.1, scaling="Logarithmic"),
        "batch-size": CategoricalRange(values=(32, 64, 128, 256)),
    }
    assert (spec.strategy, spec.num_jobs, spec.stops_trials) == ("Bayesian", 20, False)


@pytest.mark.parametrize("changes", [{}, EVERYTHING, HYPERBAND, GRID], ids=str)
def test_what_is_written_is_read_back_the_same(changes):
    spec = spec_of(**changes)
    assert TuningSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert TuningSpec.from_hyperparameter(spec.to_hyperparameter(), spec.static) == spec


def test_everything_that_can_be_said_is_kept():
    spec = spec_of(**EVERYTHING)
    assert spec.completion == Completion(target_objective=0.0, not_improving=3, on_convergence=True)
    assert spec.warm_start == WarmStart(parents=("0001-dogs",), type="TransferLearning")
    assert (spec.early_stopping, spec.stops_trials, spec.seed) == ("Auto", True, 7)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"objective": "validation:loss"}, {"objective": "validation:loss"}),
        ({"objective": "validation:accuracy"}, {}),  # the table's own
        ({"objective": "test:loss"}, {}),  # it comes once, at the end
        (
            {"objective": "validation:loss", "static": {"objective": "validation:accuracy"}},
            {"objective": "validation:accuracy"},
        ),
        (
            {
                "objective": "validation:loss",
                "ranges": {"objective": ["validation:loss", "validation:accuracy"]},
            },
            {},
        ),
    ],
)
def test_trials_choose_their_best_epoch_by_the_objective_of_the_study(changes, expected):
    assert spec_of(**changes).static == expected


def test_a_grid_tries_every_combination():
    spec = spec_of(**GRID)
    assert (spec.max_jobs, spec.num_combinations, spec.num_jobs) == (None, 6, 6)


def test_a_resource_of_hyperband_is_an_epoch_of_the_job():
    assert spec_of(**HYPERBAND).hyperband == Hyperband(min_resource=1, max_resource=9)
    assert spec_of(**HYPERBAND).stops_trials


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "a" * 33}, "at most 32 letters"),
        ({"name": f"a{'-' * 40}b"}, "at most 32 letters"),
        ({"target_objective": float("nan")}, "expected a number, got 'nan'"),
        ({"target_objective": 10**400}, "target_objective: expected a number"),
        ({"price_per_hour": -1}, "price_per_hour: expected >= 0"),
        ({"ranges": {"batch-size": {"min": "auto", "max": 64}}}, "auto is no bound"),
        ({"stategy": "Grid"}, "did you mean 'strategy'"),
        ({"strategy": "Baysian"}, "did you mean 'Bayesian'"),
        ({"objective": "tets:loss"}, "did you mean 'test:loss'"),
        ({"objective": "accuracy"}, "did you mean 'validation:accuracy'"),
        ({"goal": "Max"}, "did you mean 'Maximize'"),
        ({**HYPERBAND, "min_resource": 40}, "expected 1 to 9, the job's epochs, got 40"),
        ({**HYPERBAND, "min_resource": 4, "max_resource": 3}, "1 to 3, max_resource, got 4"),
        ({"objective": None}, "expected one of train:loss"),
        ({"goal": "Best"}, "expected one of Minimize | Maximize"),
        ({"max_jobs": None}, "strategy Bayesian needs a number"),
        ({"max_jobs": 751}, "max_jobs: expected >= 1 and <= 750, got 751"),
        ({"max_jobs": 0}, "got 0"),
        ({"max_jobs": True}, "expected a whole number, got True"),
        ({"strategy": "Random", "max_jobs": 10_001}, "<= 10000"),
        ({"max_parallel_jobs": 101}, "max_parallel_jobs: expected >= 1 and <= 100"),
        ({"max_runtime_seconds": 119}, "max_runtime_seconds: expected >= 120"),
        ({"max_runtime_seconds": 15_768_001}, "<= 15768000"),
        ({"not_improving": 2}, "not_improving: expected >= 3, got 2"),
        ({"target_objective": "low"}, "expected a number, got 'low'"),
        ({"on_convergence": 1}, "expected true or false"),
        ({"seed": -1}, "seed: expected >= 0"),
        ({"ranges": {}}, "at least one hyperparameter"),
        ({"min_resource": 1}, "only strategy Hyperband"),
        ({"strategy": "Grid"}, "ranges.lr: strategy Grid tries listed values only"),
        ({**GRID, "max_jobs": 5}, "this grid has 6 combinations"),
        ({**HYPERBAND, "early_stopping": "Auto"}, "Hyperband stops trials itself"),
        ({**HYPERBAND, "objective": "test:loss"}, "take validation:loss"),
        ({**HYPERBAND, "max_resource": 10}, "the job has 9; got 10"),
        ({**HYPERBAND, "min_resource": 10}, "expected 1 to 9"),
        ({**HYPERBAND, "static": {}, "ranges": {"epochs": [1, 2]}}, "chooses the number of epochs"),
        ({"warm_start": {"parents": []}}, "a list of 1 to 5"),
        ({"warm_start": {"parents": ["a", "a"]}}, "listed twice"),
        ({"warm_start": {"parents": ["a"], "type": "Identical"}}, "IdenticalDataAndAlgorithm |"),
        ({"warm_start": {"parent": ["a"]}}, "did you mean 'parents'"),
    ],
)  # fmt: skip
def test_what_sagemaker_would_refuse_is_refused_here(changes, says):
    with pytest.raises(SpecError) as caught:
        spec_of(**changes)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["lr", "learning_rate"])
def test_a_hyperparameter_is_searched_or_set_but_not_both(name):
    with pytest.raises(HyperparameterError, match="either a range or one value"):
        spec_of(static={name: "0.1"})


def test_a_hundred_hyperparameters_are_too_many():
    with pytest.raises(SpecError, match="more than 99 hyperparameters"):
        spec_of(static={f"sagemaker_{number}": "x" for number in range(98)})


def test_budgets_may_change_and_the_study_stays_the_same():
    more = spec_of(max_jobs=40, max_parallel_jobs=8, max_runtime_seconds=600, name="other")
    assert more.fingerprint() == spec_of(not_improving=5).fingerprint() == spec_of().fingerprint()
    others = [spec_of(seed=1), spec_of(static={"epochs": "3"}), spec_of(goal="Maximize")]
    assert len({spec_of().fingerprint(), *(spec.fingerprint() for spec in others)}) == 4


def test_a_description_longer_than_a_hyperparameter_is_refused():
    names = ["lr", "momentum", "weight-decay", "label-smoothing", "mixup", "ema-decay"]
    wide = {name: [number / 1e6 + 0.123456789 for number in range(30)] for name in names}
    with pytest.raises(SpecError, match="characters and a hyperparameter may have 2,500"):
        spec_of(ranges=wide).to_hyperparameter()


def test_a_job_that_is_a_study_is_no_wrong_job():
    given = {"epochs": "3", TUNING_KEY: spec_of().to_hyperparameter()}
    assert parse_hyperparameters(given).reserved.keys() == {TUNING_KEY}


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_broken_value_of_kennel_tuning_is_one_line(text):
    with pytest.raises(SpecError):
        TuningSpec.from_hyperparameter(text, {})


def test_an_integer_range_is_of_whole_numbers():
    spec = spec_of(ranges={"epochs": {"min": 3, "max": 10}})
    assert spec.ranges == {"epochs": IntegerRange(minimum=3, maximum=10)}
    assert described()["max_jobs"] == spec.num_jobs

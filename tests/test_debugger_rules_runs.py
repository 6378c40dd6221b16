"""Every rule over real training: an ill run that must fire it, a healthy twin that must not."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tensor_runs import SIDE, Data, Sigmoids, Small, Training, draw, hits, saved_in, write_steps
from torch import nn

from contract.hyperparameters import BY_NAME
from contract.tensor_rules import TENSOR_RULES
from debugger.rules.table import RULE_CLASSES
from debugger.saved import SavedTensors

LOSSES = ("losses",)
INPUTS = "relu_input|relu_output|tanh_input|^conv_input|CrossEntropyLoss_input"


def altered(change: Callable[[Small], object]) -> Callable[[], nn.Module]:
    """A network that begins badly."""

    def build() -> nn.Module:
        network = Small()
        with torch.no_grad():
            change(network)
        return network

    return build


def kill(network: Small) -> None:
    """No unit of either ReLU layer ever answers."""
    network.conv.bias.fill_(-100)
    network.hidden.bias.fill_(-100)


def guessed() -> Data:
    """Labels that have nothing to do with the pictures: they can only be learned by heart."""
    random = torch.Generator().manual_seed(3)
    return Data(pictures=draw(24, 5).pictures, labels=torch.randint(0, 3, (24,), generator=random))


def lopsided() -> Data:
    """45, 2 and 1 pictures of a class, and not normalised."""
    labels = torch.tensor([0] * 45 + [1] * 2 + [2])
    return Data(pictures=draw(48, 1).pictures * 60 + 120, labels=labels)


def taught() -> nn.Module | None:
    """A network that is right about these pictures."""
    with tempfile.TemporaryDirectory() as folder:
        return Training(epochs=25, collections=LOSSES).run(Path(folder) / "school").network


RUNS: dict[str, Callable[[], Training]] = {
    "healthy": lambda: Training(save=INPUTS),
    "healthy, again": lambda: Training(save="^$"),
    "healthy, another seed": lambda: Training(seed=1, epochs=1),
    "healthy, longer": lambda: Training(epochs=12, collections=LOSSES),
    "taught": lambda: Training(network=taught(), lr=0.001, epochs=2, save="CrossEntropyLoss_input"),
    "too deep": lambda: Training(build=Sigmoids, epochs=2),
    "too fast": lambda: Training(lr=1e4, epochs=2),
    "dead": lambda: Training(build=altered(kill), epochs=2, save="relu_output"),
    "saturated": lambda: Training(
        build=altered(lambda one: one.squeeze.weight.mul_(1000)), epochs=2, save="tanh_input"
    ),
    "stuck": lambda: Training(lr=0.0, epochs=12),
    "by heart": lambda: Training(train=guessed(), lr=0.1, epochs=20, collections=LOSSES),
    "lopsided": lambda: Training(
        train=lopsided(), lr=0.001, save="^conv_input|CrossEntropyLoss_input"
    ),
}


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SavedTensors]:
    """Saved tensors of a run by its name; each is trained once."""
    folder, known = tmp_path_factory.mktemp("runs"), {}

    def get(name: str) -> SavedTensors:
        if name not in known:
            RUNS[name]().run(folder / name)
            known[name] = saved_in(folder / name)
        return known[name]

    return get


@dataclass(frozen=True, kw_only=True)
class Case:
    """A rule, a run that must fire it and one that must not."""

    rule: str
    ill: str
    healthy: str = "healthy"
    given: dict[str, Any] = field(default_factory=dict)
    tensor: str = ""  # that the first finding names


WEIGHTS = {"collection_names": "weights"}
LABELS = {
    "labels_regex": "CrossEntropyLoss_input_1",
    "predictions_regex": "CrossEntropyLoss_input_0",
}
CASES = (
    Case(rule="VanishingGradient", ill="too deep", tensor="gradient/Sigmoids_first.bias"),
    Case(rule="ExplodingTensor", ill="too fast"),
    Case(rule="PoorWeightInitialization", ill="too deep", tensor="gradient/Sigmoids_first.bias"),
    Case(rule="SaturatedActivation", ill="saturated", tensor="tanh_input_0"),
    Case(rule="DeadRelu", ill="dead", tensor="relu_output_0"),
    Case(rule="WeightUpdateRatio", ill="too fast"),
    Case(rule="UnchangedTensor", ill="stuck", given=WEIGHTS, tensor="Small_conv.weight"),
    Case(rule="LossNotDecreasing", ill="stuck", tensor="CrossEntropyLoss_output_0"),
    Case(rule="Overfit", ill="by heart", tensor="CrossEntropyLoss_output_0"),
    Case(rule="Overtraining", ill="by heart", healthy="healthy, longer"),
    Case(rule="AllZero", ill="dead", given={"tensor_regex": "relu_output"}, tensor="relu_output_0"),
    Case(rule="TensorVariance", ill="saturated", given={**WEIGHTS, "max_threshold": 5}),
    Case(rule="ClassImbalance", ill="lopsided", given={**LABELS, "argmax": True, "samples": 200}),
    Case(
        rule="Confusion", ill="lopsided", healthy="taught",
        given={"labels": "CrossEntropyLoss_input_1", "predictions": "CrossEntropyLoss_input_0"},
    ),
    Case(
        rule="CheckInputImages", ill="lopsided", tensor="conv_input_0",
        given={"regex": "^conv_input", "threshold_samples": 200},
    ),
)  # fmt: skip
BY_RULE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)


@BY_RULE
def test_a_rule_fires_on_a_run_that_is_ill_and_says_what_it_saw(case, run_of):
    rule = RULE_CLASSES[case.rule](run_of(case.ill), **case.given)
    fired = hits(rule)
    finding = rule.found[0] if fired else rule.finish()
    assert finding is not None
    assert case.tensor in finding.tensor
    assert finding.mode in ("TRAIN", "EVAL")
    assert finding.message
    assert finding.threshold is not None
    assert names_hyperparameters_that_exist(finding.advice)


@BY_RULE
def test_a_rule_stays_silent_on_the_healthy_twin_and_had_enough_to_judge(case, run_of):
    rule = RULE_CLASSES[case.rule](run_of(case.healthy), **case.given)
    assert (hits(rule), rule.finish()) == ([], None)
    assert (rule.missing(), rule.shortage()) == ("", "")
    assert rule.datapoints > 0


def test_runs_that_are_meant_to_be_equal_are_and_a_run_with_another_seed_is_not(run_of):
    ours = run_of("healthy")
    same = RULE_CLASSES["SimilarAcrossRuns"](ours, "", [run_of("healthy, again")], **WEIGHTS)
    other = RULE_CLASSES["SimilarAcrossRuns"](
        ours, "", [run_of("healthy, another seed")], **WEIGHTS
    )
    assert hits(same) == []
    assert same.datapoints > 100
    assert hits(other)[:2] == [0, 1]


def test_a_training_that_stalls_is_noticed_once_and_one_that_goes_on_is_not(tmp_path):
    """The rule itself; that time passes is tested with the runner that measures it."""
    saved = saved_in(write_steps(tmp_path, [("TRAIN", step, {"loss": 1.0}) for step in range(3)]))
    rule = RULE_CLASSES["StalledTrainingRule"](saved, threshold=10)
    assert hits(rule) == []
    assert rule.idle(9.9) is None
    assert rule.idle(10.0).step == 2
    assert rule.idle(20.0) is None
    rule.look(saved.moment(2))
    assert rule.idle(10.0) is not None


def test_every_rule_of_the_table_has_a_class_a_case_and_its_own_default_values():
    tested = {case.rule for case in CASES} | {"SimilarAcrossRuns", "StalledTrainingRule"}
    assert tested == {kind.name for kind in TENSOR_RULES} == set(RULE_CLASSES)


def test_a_frozen_layer_is_neither_a_vanished_gradient_nor_an_unchanged_weight(tmp_path):
    Training(frozen=("conv", "squeeze"), epochs=2).run(tmp_path / "frozen")
    saved = saved_in(tmp_path / "frozen")
    unchanged = RULE_CLASSES["UnchangedTensor"](saved, **WEIGHTS)
    ratio = RULE_CLASSES["WeightUpdateRatio"](saved)
    assert hits(RULE_CLASSES["VanishingGradient"](saved)) == []
    assert (hits(unchanged), hits(ratio)) == ([], [])
    assert unchanged.frozen == ratio.frozen == {"Small_conv.weight", "Small_squeeze.weight"}
    assert "Small_conv.weight" in ratio.remarks()


def test_mean_absolute_values_alone_are_enough_for_vanishing_gradients(tmp_path, run_of):
    Training(build=Sigmoids, epochs=2, reductions=("mean",)).run(tmp_path / "reduced")
    reduced = RULE_CLASSES["VanishingGradient"](saved_in(tmp_path / "reduced"))
    whole = RULE_CLASSES["VanishingGradient"](run_of("too deep"))
    assert hits(reduced) == hits(whole) != []
    assert reduced.found[0].value == pytest.approx(whole.found[0].value)
    unchanged = RULE_CLASSES["UnchangedTensor"](reduced.saved, **WEIGHTS)
    assert hits(unchanged) == []
    assert "save_raw_tensor" in unchanged.missing()


def test_the_pictures_of_the_tests_have_the_size_that_networks_expect():
    assert draw(3, 0).pictures.shape == (3, 3, SIDE, SIDE)


def names_hyperparameters_that_exist(advice: str) -> bool:
    """Every `name = value` is one that a job may be told."""
    pairs = re.findall(r"([a-z]+(?:-[a-z]+)*) = ([a-z_0-9.-]+)", advice)
    for name, value in pairs:
        if name in BY_NAME:
            BY_NAME[name].parse(value.rstrip("."))
        else:
            assert name in ("regex",), name
    return bool(advice)

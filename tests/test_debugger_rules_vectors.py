"""Rules over made-up steps: AWS's removed tests, and what we read into its documentation."""

import numpy as np
import pytest
from tensor_runs import global_steps, hits, quiet, rule_over, saved_in, write_steps

from contract.errors import SpecError
from debugger.rules.table import RULE_CLASSES

with quiet():
    from smdebug.exceptions import NoMoreData, RuleEvaluationConditionMet
    from smdebug.rules import invoke_rule
    from smdebug.trials import create_trial

ONES = np.ones((10, 3, 2), np.float32)
LOSSES = {0: 0.30, 4: 0.33, 8: 0.31, 12: 0.30, 16: 0.28}
LABELS = {"labels": ["^labels"], "predictions": ["^predictions"]}

# ---- AWS's own tests of 2019 ----


@pytest.mark.parametrize(
    ("steps", "fires"),
    [(range(0, 2), False), (range(0, 3), True), (range(2, 3), True), (range(3, 6), False)],
)
def test_a_tensor_is_unchanged_after_three_steps_that_have_it(tmp_path, steps, fires):
    written = global_steps({0: ONES, 1: ONES, 2: ONES}, "same") | global_steps({5: ONES}, "other")
    rule = rule_over("UnchangedTensor", tmp_path, written, tensor_regex=".*")
    assert bool(hits(rule, steps)) is fires
    if fires:
        assert "the same for 3 saved steps, since step 0" in rule.found[0].message


def test_a_loss_that_does_not_fall_is_found_at_the_first_step_that_is_far_enough(tmp_path):
    rule = rule_over("LossNotDecreasing", tmp_path, global_steps(LOSSES, "loss"), diff_percent=0.0)
    assert hits(rule) == [12]
    assert "0.3 at step 0" in rule.found[0].message


def test_a_loss_is_compared_with_steps_before_the_one_where_one_begins_to_look(tmp_path):
    rule = rule_over("LossNotDecreasing", tmp_path, global_steps(LOSSES, "loss"), diff_percent=0.0)
    assert hits(rule, range(13, 20)) == []  # 0.28 at 16 against 0.33 at 4
    assert rule.shortage() == ""


def test_a_larger_percentage_makes_the_rule_stricter_as_its_documentation_says(tmp_path):
    """AWS's tests of 2019 had it the other way round: first hit at 24."""
    losses = global_steps({**LOSSES, 20: 0.20, 24: 0.42}, "loss")
    rule = rule_over("LossNotDecreasing", tmp_path, losses, diff_percent=20)
    assert hits(rule) == [12, 24]


def test_990_of_one_class_and_10_of_the_other_are_an_imbalance(tmp_path):
    values = np.repeat([0, 1], [990, 10])
    steps = [("GLOBAL", 0, {"labels": values, "predictions": values})]
    rule = rule_over("ClassImbalance", tmp_path, steps)
    assert hits(rule) == [0]
    assert rule.found[0].value == 99.0


@pytest.mark.parametrize(
    ("wrong", "given", "fires"),
    [(False, {}, False), (True, {"category_no": 10}, True),
     (True, {"min_diag": 0, "max_off_diag": 0.01}, True),
     (True, {"min_diag": 0, "max_off_diag": 1}, False)],
)  # fmt: skip
def test_confusion_is_seen_on_and_off_the_diagonal(tmp_path, wrong, given, fires):
    labels = np.arange(10)
    predictions = np.where(labels == 4, 7, labels) if wrong else labels
    steps = [("GLOBAL", 0, {"labels": labels, "predictions": predictions})]
    rule = rule_over("Confusion", tmp_path, steps, LABELS, **given)
    assert bool(hits(rule)) is fires


@pytest.mark.parametrize(("start", "first"), [(0, 0), (1, 2)])
def test_nan_is_found_at_the_first_step_that_has_it(tmp_path, start, first):
    values = global_steps({0: [1, np.nan], 1: [1.0, 2], 2: [np.nan, 2]}, "weight")
    rule = rule_over("ExplodingTensor", tmp_path, values)
    assert hits(rule, range(start, 9))[0] == first


def test_smdebugs_own_invoker_runs_our_rules_over_its_own_trial(tmp_path):
    write_steps(tmp_path, global_steps({0: [1.0], 1: [2.0], 3: [np.nan], 4: [1.0]}, "weight"))
    with quiet():
        rule = RULE_CLASSES["ExplodingTensor"](create_trial(str(tmp_path)))
        with pytest.raises(RuleEvaluationConditionMet, match="ExplodingTensor at step 3 resulted"):
            invoke_rule(rule, raise_eval_cond=True)
        with pytest.raises(NoMoreData):  # which smdebug lets through at the end
            invoke_rule(rule)
    assert rule.report["RuleTriggered"] == 2


def test_pictures_that_are_not_centred_are_found_by_the_mean_of_a_channel(tmp_path):
    """FashionMNIST's mean and deviation, which AWS used: 0.286 is too far from 0."""
    random = np.random.default_rng(0)
    raw = (0.286 + 0.352 * random.standard_normal((250, 1, 6, 6))).astype(np.float32)
    for name, pictures, fires in (("raw", raw, True), ("even", (raw - 0.286) / 0.352, False)):
        steps = [("TRAIN", step, {"pictures": pictures}) for step in range(3)]
        rule = rule_over("CheckInputImages", tmp_path / name, steps, regex="pictures")
        assert hits(rule) == ([1, 2] if fires else [])  # 500 pictures after the second


# ---- what else was read into the documentation ----


def test_a_unit_that_died_long_ago_is_told_from_one_that_was_silent_once(tmp_path):
    """100 observations are needed to know of one percent: the newest ten steps of 10."""
    alive, dead = np.ones((10, 2), np.float32), np.zeros((10, 2), np.float32)
    steps = [("TRAIN", step, {"relu_output_0": alive if step < 3 else dead}) for step in range(15)]
    rule = rule_over("DeadRelu", tmp_path, steps)
    assert hits(rule) == [12, 13, 14]
    assert "100 observations" in rule.found[0].message


def test_few_observations_are_no_evidence(tmp_path):
    steps = [("TRAIN", 0, {"relu_output_0": np.zeros((4, 2), np.float32)})]
    rule = rule_over("DeadRelu", tmp_path, steps)
    assert hits(rule) == []
    assert rule.missing() == ""
    assert rule.shortage() == "4 observations, and 10 are needed"


def test_sigmoids_have_limits_of_their_own(tmp_path):
    values = np.full((20, 3), 12.0, np.float32)  # beyond tanh's 9.5, within the sigmoid's 17
    steps = [("TRAIN", 0, {"tanh_input_0": values, "sigmoid_input_0": values})]
    rule = rule_over("SaturatedActivation", tmp_path, steps)
    assert hits(rule) == [0]
    assert rule.found[0].tensor == "tanh_input_0"
    assert "more tensor" not in rule.found[0].message


@pytest.mark.parametrize(("num_steps", "ratio"), [(None, 0.2), (4, 1.0), (3, 0.2), (1, None)])
def test_weights_are_compared_with_the_oldest_step_within_num_steps(tmp_path, num_steps, ratio):
    """Values 5, 6, 10, 12 at steps 0, 2, 4, 6 of training."""
    steps = {
        2 * step: ("TRAIN", step * 2, {"Net_fc.weight": np.full(4, value, np.float32)})
        for step, value in enumerate([5, 6, 10, 12])
    }
    given = {} if num_steps is None else {"num_steps": num_steps}
    rule = rule_over(
        "WeightUpdateRatio", tmp_path, steps, {"weights": ["weight"]}, large_threshold=0.01, **given
    )
    found = hits(rule)
    if ratio is None:
        assert found == []
        assert "two steps" in rule.shortage()
    else:
        assert rule.found[-1].value == pytest.approx(ratio)  # 12 after 10, or after 6


def test_weights_are_not_expected_to_change_during_an_evaluation(tmp_path):
    steps = [("EVAL", step, {"Net_fc.weight": ONES}) for step in range(5)]
    collections = {"weights": ["weight"]}
    unchanged = rule_over(
        "UnchangedTensor", tmp_path / "a", steps, collections, collection_names="weights"
    )
    ratio = rule_over("WeightUpdateRatio", tmp_path / "b", steps, collections)
    assert (hits(unchanged), hits(ratio)) == ([], [])


def test_fine_tuning_is_no_reason_to_complain_about_small_gradients(tmp_path):
    steps = [("TRAIN", step, {"gradient/Net_fc.weight": ONES * 1e-6}) for step in range(2)]
    fresh = rule_over("PoorWeightInitialization", tmp_path, steps, {"gradients": ["^gradient"]})
    tuned = RULE_CLASSES["PoorWeightInitialization"](fresh.saved)
    tuned.fine_tuning = True
    assert (hits(fresh), hits(tuned)) == ([0, 1], [])


def test_inputs_of_layers_that_differ_widely_are_named_with_their_variances(tmp_path):
    random = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    tensors = {"a.relu_input_0": random, "b.relu_input_0": random * 10}
    rule = rule_over("PoorWeightInitialization", tmp_path, [("TRAIN", 0, tensors)])
    assert hits(rule) == [0]
    finding = rule.found[0]
    assert finding.value == pytest.approx(100, rel=1e-5)
    assert "b.relu_input_0" in finding.message
    assert "a.relu_input_0" in finding.message


def test_later_steps_say_nothing_about_initialisation(tmp_path):
    steps = {one: ("TRAIN", one, {"loss": [1.0]}) for one in range(5, 45, 5)}
    rule = rule_over("PoorWeightInitialization", tmp_path, steps, patience=2, steps=20)
    assert hits(rule) == [15, 20]  # from 5 on, before 25, after two without a lower one


def test_predictions_that_are_scores_are_asked_for_the_largest(tmp_path):
    scores = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    steps = [("TRAIN", 0, {"labels": [0, 1, 2, 1], "predictions": scores})]
    told = rule_over("ClassImbalance", tmp_path / "a", steps, samples=4, argmax=True,
                     threshold_misprediction=0.4)  # fmt: skip
    assert hits(told) == [0]
    assert told.found[0].tensor == "class 1"
    untold = rule_over("ClassImbalance", tmp_path / "b", steps, samples=4)
    with pytest.raises(Exception, match="set argmax = true"):
        hits(untold)


def test_a_matrix_of_confusion_begins_anew_with_each_evaluation(tmp_path):
    bad, good = [1, 0], [0, 1]
    steps = {
        step: ("EVAL", mode_step, {"labels": [0, 1], "predictions": predictions})
        for step, mode_step, predictions in [(5, 0, bad), (6, 1, bad), (12, 2, good), (13, 3, good)]
    }
    rule = rule_over("Confusion", tmp_path, steps, LABELS)
    assert hits(rule) == [5, 6]


def test_every_worker_is_looked_at_and_named(tmp_path):
    write_steps(
        tmp_path, [("TRAIN", 0, {"gradient/a": ONES, "loss": [1.0]})],
        workers=("worker_0", "worker_1"),
    )  # fmt: skip
    saved = saved_in(tmp_path)
    rule = RULE_CLASSES["VanishingGradient"](saved, threshold=2)
    assert hits(rule) == [0]
    assert "(and 1 more tensor)" in rule.found[0].message
    assert [label for label, _ in saved.arrays("gradient/a", 0)] == [
        "gradient/a of worker_0", "gradient/a of worker_1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("AllZero", {}, "collection_names or tensor_regex"),
        ("UnchangedTensor", {}, "collection_names or tensor_regex"),
        ("TensorVariance", {"tensor_regex": "a"}, "max_threshold or min_threshold"),
        ("SimilarAcrossRuns", {}, "other_trials"),
        ("VanishingGradient", {"treshold": 1}, "did you mean threshold"),
        ("VanishingGradient", {"threshold": "much"}, "expected a number >= 0"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_rules_name(tmp_path, name, given, says):
    with pytest.raises(SpecError, match=says) as caught:
        rule_over(name, tmp_path, global_steps({0: [1.0]}, "loss"), **given)
    assert name in str(caught.value)

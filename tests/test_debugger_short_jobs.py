"""LossNotDecreasing over jobs that are shorter than its default of ten evaluations."""

import json

import pytest
from tensor_runs import hits, rule_over, write_step, write_steps

from contract.opt_ml import OptMl
from contract.rules import RuleSpec
from debugger.rules.watch import TensorWatch

RULE = "LossNotDecreasing"


def epochs(validation, training=()):
    """Steps of training and one evaluation an epoch; `training` has the losses of all of them."""
    training = training or [1.0] * len(validation)
    steps = [("TRAIN", step, {"loss": loss}) for step, loss in enumerate(training)]
    evaluations = [("EVAL", epoch, {"loss": loss}) for epoch, loss in enumerate(validation)]
    share = len(steps) // len(evaluations)
    return [
        step
        for epoch, evaluation in enumerate(evaluations)
        for step in (*steps[epoch * share : (epoch + 1) * share], evaluation)
    ]


@pytest.mark.parametrize(
    ("validation", "fires"),
    [([3, 2, 1], False), ([3, 4], True), ([3, 1, 3], True), ([3, 5, 2.9], False)],
)
def test_a_short_job_is_judged_over_its_whole_length(tmp_path, validation, fires):
    """By its evaluations: training, whose steps are far enough apart, says the opposite."""
    training = list(range(60, 0, -1)) if fires else range(1, 61)
    rule = rule_over(RULE, tmp_path, epochs(validation, training))
    assert hits(rule) == []
    finding = rule.finish()
    assert (rule.missing(), rule.shortage()) == ("", "")
    assert (finding is not None) == fires
    if finding is not None:
        assert (finding.mode, finding.step) == ("EVAL", len(validation) - 1)
        assert "was 3 at step 0 of EVAL" in finding.message
    else:
        assert f"the last of {len(validation)} losses of EVAL" in rule.remarks()


def test_a_job_of_eleven_evaluations_is_judged_as_before(tmp_path):
    rule = rule_over(RULE, tmp_path, epochs([*range(11, 1, -1), 20]))
    assert hits(rule) == []  # an evaluation is over when something follows it
    assert rule.finish().step == 10
    assert (rule.shortage(), rule.remarks()) == ("", "")


def test_a_job_of_one_epoch_is_judged_by_its_training(tmp_path):
    rule = rule_over(RULE, tmp_path / "long", epochs([1.0], [2.0, *[3.0] * 10, 1.0]))
    assert (hits(rule), rule.finish(), rule.shortage()) == ([], None, "")
    assert "the last of 12 losses of TRAIN" in rule.remarks()


def test_a_few_batches_say_nothing(tmp_path):
    rule = rule_over(RULE, tmp_path / "short", epochs([1.0], [2.0, 3.0, 3.0]))
    assert (hits(rule), rule.finish(), rule.remarks()) == ([], None, "")
    assert "no two losses of mode EVAL were saved" in rule.shortage()


def test_a_number_of_steps_and_a_mode_that_are_asked_for_are_kept_to(tmp_path):
    asked = rule_over(RULE, tmp_path / "a", epochs([3, 3, 3]), num_steps=10)
    assert (hits(asked), asked.finish()) == ([], None)
    assert "no two losses of mode EVAL were saved that are 10 steps" in asked.shortage()
    mode = rule_over(RULE, tmp_path / "b", epochs([3], [1, 1, 1]), mode="EVAL")
    assert (hits(mode), mode.finish()) == ([], None)
    assert "no two losses of mode EVAL were saved" in mode.shortage()


@pytest.mark.parametrize(
    ("told", "live"), [({}, "InProgress"), ({"sagemaker_program": "own.py"}, "IssuesFound")]
)
def test_the_first_epoch_is_not_judged_by_its_batches_where_evaluations_will_come(
    tmp_path, told, live
):
    """A user's script may never evaluate: that is judged by what there is."""
    paths = OptMl(tmp_path)
    paths.config_dir.mkdir(parents=True)
    (paths.config_dir / "hyperparameters.json").write_text(json.dumps(told))
    first = [("TRAIN", step, {"loss": 1.0}) for step in range(30)]
    write_steps(paths.tensors_dir, first, has_ended=False)
    with TensorWatch(str(tmp_path), [RuleSpec(name=RULE, rule=RULE)], is_awaited=True) as watch:
        watch.poll()
        assert watch.results[0].status == live
        for epoch, loss in enumerate([2.0, 1.0]):
            step = 30 + 5 * epoch  # of the batches between, nothing was saved
            write_step(paths.tensors_dir, step, ("EVAL", epoch, {"loss": loss}))
        (paths.tensors_dir / "training_job_end.ts").touch()
        watch.finish()
    (result,) = watch.results
    assert result.status == ("NoIssuesFound" if live == "InProgress" else live)
    if live == "InProgress":
        assert result.details.startswith("the last of 2 losses of EVAL was compared")

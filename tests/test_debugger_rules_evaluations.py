"""Rules about losses over made-up epochs: what is compared with what, and when it is known."""

import numpy as np
import pytest
from tensor_runs import global_steps, hits, rule_over


def epochs(train, validation, batches=2):
    """Two batches of training and of evaluation an epoch: the mean is given, batches lie around."""
    steps, counts = [], {"TRAIN": 0, "EVAL": 0}
    for losses in zip(train, validation, strict=True):
        for mode, loss in zip(counts, losses, strict=True):
            for batch in range(batches):
                value = loss + (0.25 if batch % 2 else -0.25)
                steps.append((mode, counts[mode], {"loss": np.float32(value)}))
                counts[mode] += 1
    return steps


@pytest.mark.parametrize(("patience", "fires_at"), [(1, [16]), (2, []), (3, [])])
def test_overfit_needs_more_evaluations_in_a_row_than_its_patience(tmp_path, patience, fires_at):
    """The second and the fourth epoch are fine: 2.1 is 5 % above 2."""
    steps = epochs([2] * 6, [2.5, 2.1, 2.5, 2.5, 2.1, 2.5])
    rule = rule_over("Overfit", tmp_path, steps, patience=patience)
    assert hits(rule) == fires_at  # known at the first training step after the evaluation
    if fires_at:
        finding = rule.found[0]
        assert (finding.mode, finding.step, finding.value) == ("EVAL", 7, pytest.approx(0.25))
        assert "means of 2 and 2 saved steps" in finding.message


def test_overfit_looks_at_the_losses_that_it_is_told(tmp_path):
    steps = [
        (mode, step, {**tensors, "other": np.float32(1)})
        for mode, step, tensors in epochs([2] * 3, [3] * 3)
    ]
    told = rule_over("Overfit", tmp_path / "a", steps, tensor_regex="^other")
    assert (hits(told), told.finish(), told.datapoints) == ([], None, 3)
    untold = rule_over("Overfit", tmp_path / "b", steps)
    assert hits(untold) == [8]


def test_the_last_evaluation_is_judged_when_the_job_is_over(tmp_path):
    rule = rule_over("Overfit", tmp_path, epochs([2, 2], [3, 3]))
    assert hits(rule) == []
    assert rule.finish().step == 3


def test_an_evaluation_ends_where_training_went_on_even_if_that_was_not_saved(tmp_path):
    """Steps of EVAL alone: global steps 4 to 7 and 14 to 17, 6 steps of training between them."""
    steps = {
        4 + 10 * evaluation + batch: ("EVAL", 4 * evaluation + batch, {"loss": [loss]})
        for evaluation, losses in enumerate([(1, 2, 3, 4), (5, 6, 7, 8)])
        for batch, loss in enumerate(losses)
    }
    rule = rule_over("LossNotDecreasing", tmp_path, steps, num_steps=4)
    assert hits(rule) == []
    finding = rule.finish()
    assert (finding.step, finding.value) == (7, 6.5)
    assert "was 2.5 at step 3 of EVAL" in finding.message


@pytest.mark.parametrize(
    ("validation", "first"),
    [([5, 4, 3, 2, 1], None), ([3, 3, 3, 3, 3], 3), ([3, 2, 2.5, 2.5, 2.5], 4)],
)
def test_overtraining_counts_evaluations_since_the_best(tmp_path, validation, first):
    steps = epochs([5, 4, 3, 2, 1], validation)
    rule = rule_over("Overtraining", tmp_path, steps, patience_validation=3)
    found = [(hit - 1) // 4 for hit in hits(rule)]
    last = rule.finish()
    assert [*found, *([4] if last else [])][:1] == ([] if first is None else [first])


def test_overtraining_says_whether_training_has_converged_as_well(tmp_path):
    flat = rule_over(
        "Overtraining", tmp_path / "a", epochs([1] * 5, [3] * 5), patience_validation=3
    )
    falling = rule_over(
        "Overtraining", tmp_path / "b", epochs([5, 4, 3, 2, 1], [3] * 5), patience_validation=3
    )
    assert hits(flat)
    assert hits(falling)
    assert "training has converged" in flat.found[-1].message
    assert "training still improves" in falling.found[-1].message


def test_losses_of_evaluations_come_before_those_of_training(tmp_path):
    steps = epochs([3, 2, 1], [1, 2, 3])
    by_default = rule_over("LossNotDecreasing", tmp_path / "a", steps, num_steps=2)
    asked = rule_over("LossNotDecreasing", tmp_path / "b", steps, num_steps=2, mode="TRAIN")
    assert (hits(by_default), by_default.finish() is not None) == ([8], True)
    assert (hits(asked), asked.finish()) == ([], None)
    none = rule_over("LossNotDecreasing", tmp_path / "c", steps, mode="GLOBAL")
    assert (hits(none), none.datapoints) == ([], 0)
    assert "no loss of mode GLOBAL was saved, but of EVAL, TRAIN" in none.missing()


def test_a_loss_every_third_step_is_looked_at_when_ten_are_over(tmp_path):
    """The developer guide's example: step 21 is compared with step 9, and 33 comes next."""
    flat = global_steps(dict.fromkeys(range(9, 40, 3), 1.0), "loss")
    rule = rule_over("LossNotDecreasing", tmp_path, flat, num_steps=10)
    assert hits(rule) == [21, 33]
    assert "at step 9 of" in rule.found[0].message

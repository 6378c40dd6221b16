"""Rules that users bring: they run unchanged beside ours, and their mistakes end nothing else."""

import logging
import textwrap

import pytest
from evaluating import LARGE, SMALL, gradients_of, own, results_of, spec
from tensor_runs import GRADIENTS, write_step, write_steps

from debugger.rules.watch import TensorWatch

# As AWS's documentation writes a rule, with what it gets from smdebug.
OWN = """
from smdebug.rules.rule import Rule

class CustomGradientRule(Rule):
    def __init__(self, base_trial, threshold=10.0):
        super().__init__(base_trial)
        self.threshold = float(threshold)

    def set_required_tensors(self, step):
        for name in self.base_trial.tensor_names(collection="gradients"):
            self.req_tensors.add(name, steps=[step])

    def invoke_at_step(self, step):
        for tensor in self.req_tensors.get():
            mean = tensor.reduction_value(step, "mean", abs=True)
            self.logger.info(f"step {step}: {mean}")
            if mean > self.threshold:
                return True
        return False

class WithActions(CustomGradientRule):
    def __init__(self, base_trial, action_str, other_trials=None):
        Rule.__init__(self, base_trial, action_str, other_trials)
        self.threshold = 0.5

class LooksAhead(CustomGradientRule):
    def invoke_at_step(self, step):
        self.base_trial.wait_for_steps([step + 1])
        return False

class Misses(CustomGradientRule):
    def invoke_at_step(self, step):
        if step == 0:
            self.base_trial.tensor("nobody saved this")
        return True

class Raises(CustomGradientRule):
    def invoke_at_step(self, step):
        raise ZeroDivisionError("my own mistake")
"""


@pytest.fixture
def own_rules(tmp_path):
    file = tmp_path / "my_rules.py"
    file.write_text(OWN)
    return file


def test_a_job_that_saved_nothing_is_told_so_by_every_rule_and_nobody_waits(tmp_path, own_rules):
    code, results, _ = results_of(
        tmp_path, spec("VanishingGradient"), own(own_rules, "CustomGradientRule")
    )
    assert code == 3
    for result in results.values():
        assert result.status == "Error"
        assert "no debugging data was saved" in result.details


def test_a_rule_of_the_users_runs_unchanged_beside_ours(tmp_path, own_rules, caplog):
    caplog.set_level("INFO", "debugger")
    write_steps(tmp_path, gradients_of(SMALL, LARGE, SMALL, LARGE), collections=GRADIENTS)
    code, results, _ = results_of(
        tmp_path,
        own(own_rules, "CustomGradientRule", threshold="0.5"),
        own(own_rules, "WithActions"),
        spec("VanishingGradient"),
    )
    mine = results["CustomGradientRule"]
    assert (code, mine.status, mine.num_findings, mine.datapoints) == (1, "IssuesFound", 2, 4)
    assert [one.step for one in mine.findings] == [1, 3]
    assert "CustomGradientRule at step 1 resulted" in mine.details
    assert results["WithActions"].num_findings == 2
    assert [one.step for one in results["VanishingGradient"].findings] == [0, 2]
    assert sum("step 1: 1.0" in one for one in caplog.messages) == 2


def test_a_rule_of_the_users_is_heard_after_a_hook_of_this_process_wanted_errors_only(
    tmp_path, own_rules, caplog
):
    caplog.set_level("INFO", "debugger")
    logging.getLogger("smdebug").setLevel(logging.ERROR)  # as a training with tensors does
    write_steps(tmp_path, gradients_of(SMALL, LARGE), collections=GRADIENTS)
    results_of(tmp_path, own(own_rules, "CustomGradientRule", threshold="0.5"))
    assert "step 1: 1.0" in caplog.messages


def test_one_rules_mistake_does_not_end_the_others(tmp_path, own_rules, caplog):
    write_steps(tmp_path, gradients_of(SMALL, LARGE), collections=GRADIENTS)
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('not today')")
    code, results, _ = results_of(
        tmp_path, own(own_rules, "Raises"), own(broken, "Any"), spec("VanishingGradient")
    )
    assert code == 1
    assert results["Raises"].status == results["Any"].status == "Error"
    assert results["Raises"].details == "ZeroDivisionError: my own mistake (traceback in the log)"
    assert results["Any"].details == "SystemExit: not today (traceback in the log)"
    assert results["VanishingGradient"].status == "IssuesFound"
    assert "Traceback" in caplog.text


def test_a_rule_that_waits_for_a_step_that_never_comes_ends_as_any_other(tmp_path, own_rules):
    """smdebug lets NoMoreData through, and a rule that met it would never come to a result."""
    write_steps(tmp_path, gradients_of(LARGE, LARGE), collections=GRADIENTS)
    code, results, _ = results_of(tmp_path, own(own_rules, "LooksAhead"))
    assert (code, results["LooksAhead"].status) == (0, "NoIssuesFound")
    assert results["LooksAhead"].last_step == 1


def test_a_tensor_that_is_missing_once_does_not_hide_the_steps_that_follow(tmp_path, own_rules):
    """smdebug stops to look for new steps after such an exception."""
    folder = tmp_path / "output/tensors"
    with TensorWatch(str(tmp_path), [own(own_rules, "Misses")], is_awaited=True) as watch:
        write_steps(folder, gradients_of(LARGE), collections=GRADIENTS, has_ended=False)
        watch.poll()
        assert watch.results[0].status == "InProgress"
        write_step(folder, 1, gradients_of(LARGE, LARGE)[1])
        watch.poll()
        assert [one.step for one in watch.results[0].findings] == [1]


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("CustomGradientRul", {}, "did you mean CustomGradientRule?"),
        ("CustomGradientRule", {"treshold": "1"}, "did you mean threshold?"),
    ],
)
def test_a_name_that_a_users_file_does_not_have_is_an_error_with_the_nearest(
    tmp_path, own_rules, name, parameters, says
):
    write_steps(tmp_path, gradients_of(LARGE), collections=GRADIENTS)
    result = results_of(tmp_path, own(own_rules, name, **parameters))[1][name]
    assert result.status == "Error"
    assert says in result.details


def test_the_example_of_a_rule_of_ones_own_is_what_aws_documents():
    """It is the sample that fails with smdebug alone: its Rule wants an action_str."""
    assert "super().__init__(base_trial)" in textwrap.dedent(OWN)

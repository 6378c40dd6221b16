"""Evaluating rules over a job that has ended: what is told of each, also when little was saved."""

import json

import numpy as np
import pytest
from evaluating import LARGE, SMALL, gradients_of, own, results_of, spec
from tensor_runs import GRADIENTS, write_steps

from contract.errors import SpecError
from contract.rule_result import RuleResult


def test_a_hit_is_told_in_awss_words_and_then_in_ours(tmp_path):
    write_steps(tmp_path, gradients_of(LARGE, SMALL, LARGE, SMALL), collections=GRADIENTS)
    code, results, _ = results_of(tmp_path, spec("VanishingGradient"))
    result = results["VanishingGradient"]
    assert (code, result.status, result.num_findings, result.last_step) == (1, "IssuesFound", 2, 3)
    assert result.details == (
        "RuleEvaluationConditionMet: Evaluation of the rule VanishingGradient at step 1 resulted "
        f"in the condition being met\n{result.findings[0].message}"
    )
    assert [one.step for one in result.findings] == [1, 3]
    written = json.loads((tmp_path / "rule-output/VanishingGradient/report.json").read_text())
    assert RuleResult.from_json(written) == result
    assert result.report["RuleTriggered"] == 2
    assert result.report["RuleParameters"] == "threshold:1e-07"
    rows = json.loads((tmp_path / "rule-output/rules.json").read_text())["rules"]
    assert rows == [
        {
            "RuleConfigurationName": "VanishingGradient",
            "RuleEvaluationStatus": "IssuesFound",
            "StatusDetails": result.details,
            "LastModifiedTime": result.modified_at,
        }
    ]


def test_twenty_findings_are_kept_and_all_are_counted(tmp_path):
    write_steps(tmp_path, gradients_of(*[SMALL] * 30), collections=GRADIENTS)
    result = results_of(tmp_path, spec("VanishingGradient"))[1]["VanishingGradient"]
    assert (len(result.findings), result.num_findings) == (20, 30)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (spec("VanishingGradient"), "[debugger.collections.gradients]"),
        (spec("WeightUpdateRatio"), "[debugger.collections.weights]"),
        (spec("DeadRelu"), "[debugger.collections.relu_output]"),
        (spec("Overfit"), "eval.save_interval"),
        (spec("AllZero", collection_names="weihgts"), "no collection 'weihgts'"),
        (spec("AllZero", tensor_regex="nothing"), "no saved tensor"),
        (spec("ClassImbalance"), "[debugger.collections.labels]"),
        (spec("Confusion"), "[debugger.collections.labels]"),
        (spec("CheckInputImages"), "[debugger.collections.input_image]"),
        (spec("SaturatedActivation"), ".*tanh_input"),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_what_was_not_saved_is_an_error_that_says_what_to_save(tmp_path, given, says):
    write_steps(tmp_path, [("TRAIN", 0, {"loss": 1.0}), ("TRAIN", 1, {"loss": 0.5})])
    code, results, _ = results_of(tmp_path, given, spec("LossNotDecreasing", num_steps=1))
    assert (code, results[given.name].status) == (3, "Error")
    assert says in results[given.name].details
    assert results["LossNotDecreasing"].status == "NoIssuesFound"


def test_too_little_data_is_no_error_and_no_clean_bill_either(tmp_path):
    write_steps(tmp_path, [("TRAIN", 0, {"loss": 1.0})])
    code, results, _ = results_of(tmp_path, spec("LossNotDecreasing"))
    assert (code, results["LossNotDecreasing"].status) == (0, "NoIssuesFound")
    assert results["LossNotDecreasing"].details.startswith("not enough data: no two losses")


def test_what_makes_no_sense_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(SpecError, match="collection_names or tensor_regex"):
        results_of(tmp_path, spec("AllZero"))
    with pytest.raises(SpecError, match="there is none"):
        results_of(tmp_path, own(tmp_path / "gone.py", "Any"))


def test_hosts_that_wrote_folders_of_their_own_are_read_as_one_job(tmp_path):
    both, steps = ("worker_0", "worker_1"), gradients_of(LARGE, SMALL)
    write_steps(tmp_path / "all", steps, collections=GRADIENTS, workers=both)
    for file in (tmp_path / "all").rglob("*"):
        if file.is_file() and "worker" in file.name:
            host = "job/hosts/algo-2" if "worker_1" in file.name else "job"
            target = tmp_path / host / "output/tensors" / file.relative_to(tmp_path / "all")
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)
    code, results, _ = results_of(tmp_path / "job", spec("VanishingGradient"))
    assert code == 1
    assert "(and 1 more tensor)" in results["VanishingGradient"].findings[0].message


def test_pretrained_weights_of_the_job_spare_small_gradients_the_complaint(tmp_path):
    steps = [("TRAIN", 0, {"gradient/fc": np.full(4, 1e-6, np.float32)})]
    for name, pretrained, status in (("a", "true", "NoIssuesFound"), ("b", "false", "IssuesFound")):
        job = tmp_path / name
        write_steps(job / "output/tensors", steps, collections={"gradients": ["^gradient"]})
        config = job / "input/config/hyperparameters.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"pretrained": pretrained}))
        _, results, _ = results_of(job, spec("PoorWeightInitialization"))
        result = results["PoorWeightInitialization"]
        assert result.status == status
        assert ("no test could be done" in result.details) is (name == "a")


def test_no_number_that_json_does_not_know_reaches_an_event(tmp_path):
    nan = np.array([np.nan, 1], np.float32)
    write_steps(tmp_path, gradients_of(LARGE, nan), collections=GRADIENTS)
    given = [
        spec("ExplodingTensor"),
        spec("TensorVariance", tensor_regex=".*", max_threshold=0.1),
        spec("UnchangedTensor", tensor_regex=".*"),
        spec("PoorWeightInitialization"),
    ]
    events = results_of(tmp_path, *given)[2]
    for event in events:
        json.dumps(event, allow_nan=False)

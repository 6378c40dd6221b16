"""Evaluating rules over a job: live and afterwards, with what is missing, damaged or raises."""

import http.server
import json
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from tensor_runs import Training, saved_in, write_step, write_steps

from contract.errors import SpecError
from contract.rule_result import RuleResult
from contract.rules import Action, RuleSpec
from debugger.evaluate import Request, evaluate
from debugger.rules.table import RULE_CLASSES
from debugger.rules.watch import TensorWatch

GRADIENTS = {"losses": ["^loss"], "gradients": ["^gradient"]}
SMALL, LARGE = np.full(4, 1e-9, np.float32), np.ones(4, np.float32)
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


def gradients_of(*values):
    """Steps of training with a loss and one gradient."""
    return [
        ("TRAIN", step, {"loss": np.float32(1.0), "gradient/fc": value})
        for step, value in enumerate(values)
    ]


def spec(name, /, **parameters):
    """A built-in rule; names of parameters as AWS has them."""
    return RuleSpec(name=name, rule=name, parameters={k: str(v) for k, v in parameters.items()})


def own(file, name, /, **parameters):
    """A rule of the user's."""
    return RuleSpec(name=name, rule=name, source=str(file), parameters=parameters)


def results_of(folder, *specs, **more):
    """Evaluate afterwards: exit code, the last word on each rule, and all events."""
    events = []
    request = Request(source=str(folder), specs=specs, out=folder / "rule-output", **more)
    code = evaluate(request, events.append)
    told = [RuleResult.from_json(one["result"]) for one in events if one["event"] == "result"]
    return code, {one.name: one for one in told}, events


@pytest.fixture
def own_rules(tmp_path):
    file = tmp_path / "my_rules.py"
    file.write_text(OWN)
    return file


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


def test_what_makes_no_sense_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(SpecError, match="collection_names or tensor_regex"):
        results_of(tmp_path, spec("AllZero"))
    with pytest.raises(SpecError, match="there is none"):
        results_of(tmp_path, own(tmp_path / "gone.py", "Any"))


def event_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tfevents"))


def test_a_truncated_or_missing_file_costs_its_own_values(tmp_path):
    write_steps(tmp_path, gradients_of(SMALL, SMALL, SMALL, LARGE), collections=GRADIENTS)
    first, second, *_ = event_files(tmp_path)
    first.write_bytes(first.read_bytes()[:60])
    second.unlink()
    code, results, _ = results_of(tmp_path, spec("VanishingGradient"), spec("ExplodingTensor"))
    assert code == 1
    assert [one.step for one in results["VanishingGradient"].findings] == [2]
    assert results["ExplodingTensor"].status == "NoIssuesFound"
    assert results["ExplodingTensor"].details == "4 saved values could not be read, see the log"


@pytest.mark.parametrize("text", ["", "{", '{"meta": {}}', "[1]", '{"meta": {"mode": "X"}}'])
def test_a_broken_index_costs_its_own_step(tmp_path, text, caplog):
    write_steps(tmp_path, gradients_of(SMALL, SMALL, SMALL), collections=GRADIENTS)
    sorted(tmp_path.rglob("index/*/*.json"))[1].write_text(text)
    _, results, _ = results_of(tmp_path, spec("VanishingGradient"))
    assert [one.step for one in results["VanishingGradient"].findings] == [0, 2]
    assert "index of step 1 cannot be read" in caplog.text


def test_broken_collections_are_an_error_in_one_line(tmp_path):
    write_steps(tmp_path, gradients_of(SMALL), collections=GRADIENTS)
    next(tmp_path.rglob("*_collections.json")).write_text("{")
    code, results, _ = results_of(tmp_path, spec("VanishingGradient"))
    assert (code, results["VanishingGradient"].status) == (3, "Error")
    assert "cannot be opened" in results["VanishingGradient"].details


def test_why_saving_ended_early_is_passed_on(tmp_path):
    write_steps(tmp_path, gradients_of(LARGE), collections=GRADIENTS)
    (tmp_path / "FAILED").write_text("worker_0: the disk is full\n")
    result = results_of(tmp_path, spec("VanishingGradient"))[1]["VanishingGradient"]
    assert result.details == "saving ended before training did: worker_0: the disk is full"


def test_a_value_is_read_once_for_all_rules(tmp_path):
    write_steps(tmp_path, gradients_of(SMALL, SMALL), collections=GRADIENTS)
    saved = saved_in(tmp_path)
    rules = [RULE_CLASSES[name](saved) for name in ("ExplodingTensor", "VanishingGradient")]
    assert rules[0].look(saved.moment(0)) is None
    for file in event_files(tmp_path):
        file.unlink()
    assert rules[1].look(saved.moment(0)) is not None
    assert rules[1].look(saved.moment(1)) is None  # nobody had read it before
    assert saved.num_unreadable == 1


def test_a_small_cache_reads_again_and_comes_to_the_same(tmp_path):
    from debugger.saved import SavedTensors
    from debugger.tensors import open_trial

    write_steps(tmp_path, gradients_of(SMALL, LARGE, SMALL), collections=GRADIENTS)
    tiny = SavedTensors(open_trial(str(tmp_path)), cache_bytes=1)
    for step in (0, 1, 0, 2):
        expected = LARGE if step == 1 else SMALL
        assert np.array_equal(tiny.value("gradient/fc", step), expected)


# ---- while a job runs ----


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_new_steps_are_looked_at_once_as_they_come(tmp_path):
    folder = tmp_path / "output/tensors"
    with TensorWatch(str(tmp_path), [spec("VanishingGradient")], is_awaited=True) as watch:
        watch.poll()
        assert (watch.has_ended(), watch.results[0].status) == (None, "InProgress")
        write_steps(folder, gradients_of(LARGE), collections=GRADIENTS, has_ended=False)
        watch.poll()
        assert (watch.has_ended(), watch.results[0].datapoints) == (False, 1)
        watch.poll()
        assert watch.results[0].datapoints == 1
        write_step(folder, 1, gradients_of(LARGE, SMALL)[1])
        watch.poll()
        assert (watch.results[0].status, watch.results[0].datapoints) == ("IssuesFound", 2)
        (folder / "training_job_end.ts").touch()
        assert watch.has_ended() is True
        watch.finish()
    assert watch.results[0].num_findings == 1


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


def test_a_training_that_stops_to_write_fires_the_rule_about_stalling(tmp_path):
    """And its twin, which goes on in time, does not."""
    for name, seconds, status in (("stalled", 31, "IssuesFound"), ("alive", 29, "NoIssuesFound")):
        clock, folder = Clock(), tmp_path / name
        folder.mkdir()
        rule = spec("StalledTrainingRule", threshold=30)
        with TensorWatch(str(folder), [rule], is_awaited=True, clock=clock) as watch:
            run = Training(epochs=1, collections=("losses",), is_closed=False)
            run.run(folder / "output/tensors")  # its last step stays open, as it does live
            watch.poll()
            clock.now += seconds
            watch.poll()
            write_step(folder / "output/tensors", 9, ("TRAIN", 9, {"loss": 1.0}))
            watch.poll()
            clock.now += 1
            watch.poll()
            watch.finish()
        assert watch.results[0].status == status
        if status == "IssuesFound":
            assert watch.results[0].findings[0].value == seconds


def test_a_step_is_complete_when_all_workers_have_it_or_the_job_is_over(tmp_path):
    folder, workers = tmp_path / "output/tensors", ("worker_0", "worker_1")
    with TensorWatch(str(tmp_path), [spec("VanishingGradient")], is_awaited=True) as watch:
        write_steps(
            folder, gradients_of(LARGE), collections=GRADIENTS, workers=workers, has_ended=False
        )
        write_step(folder, 1, gradients_of(LARGE, SMALL)[1], "worker_1")
        watch.poll()
        assert watch.results[0].datapoints == 1
        watch.finish()  # worker_0 is gone
    assert watch.results[0].datapoints == 2
    assert watch.results[0].findings[0].tensor == "gradient/fc"


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


def test_a_worker_that_never_began_is_named_and_nobody_waits_for_it(tmp_path):
    both = ("worker_0", "worker_1")
    write_steps(tmp_path, gradients_of(SMALL), collections=GRADIENTS, workers=both)
    next(tmp_path.rglob("worker_1_collections.json")).unlink()
    code, results, _ = results_of(tmp_path, spec("VanishingGradient"))
    assert code == 3
    assert "collections of 1 more workers are missing" in results["VanishingGradient"].details


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


# ---- what follows ----


def test_actions_are_told_once_after_the_result_and_name_the_rule(tmp_path):
    write_steps(tmp_path, gradients_of(SMALL, SMALL), collections=GRADIENTS)
    stop = RuleSpec(
        name="no-gradients",
        rule="VanishingGradient",
        actions=(Action(name="stop"), Action(name="fail")),
    )
    _, results, events = results_of(tmp_path, stop)
    reason = results["no-gradients"].findings[0].message
    assert [one["event"] for one in events] == ["result", "action", "action"]
    assert events[1:] == [
        {"event": "action", "action": name, "rule": "no-gradients", "reason": reason}
        for name in ("stop", "fail")
    ]


class Heard(http.server.BaseHTTPRequestHandler):
    """Answers 200 and keeps what it was told."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.heard.append((self.headers["Content-Type"], self.rfile.read(length)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_webhook_gets_the_result_once_and_one_that_is_down_changes_nothing(tmp_path, caplog):
    write_steps(tmp_path, gradients_of(SMALL, SMALL), collections=GRADIENTS)
    server = http.server.HTTPServer(("127.0.0.1", 0), Heard)
    server.heard = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/hook"
        hook = Action(name="webhook", url=url)
        down = Action(name="webhook", url="http://127.0.0.1:9/nobody")
        told = RuleSpec(name="told", rule="VanishingGradient", actions=(hook, down))
        code, results, events = results_of(tmp_path, told)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    assert (code, [one["event"] for one in events]) == (1, ["result"])
    (content_type, body), *more = server.heard
    assert (content_type, more) == ("application/json", [])
    assert RuleResult.from_json(json.loads(body)) == results["told"]
    assert "webhook of rule told: http://127.0.0.1:9/nobody" in caplog.text


def test_stalling_stops_the_job_when_its_parameter_says_so(tmp_path):
    from debugger.ledger import Ledger

    stalled = spec("StalledTrainingRule", stop_training_on_fire="true")
    events = []
    ledger = Ledger(tmp_path, [stalled], events.append)
    result = RuleResult(
        name=stalled.name, rule=stalled.rule, status="IssuesFound", details="x\ny",
        parameters=stalled.values(),
    )  # fmt: skip
    ledger.tell(result)
    ledger.tell(result)  # nothing new
    ledger.tell(result, is_final=True)
    assert [one["event"] for one in events] == ["result", "action", "result"]
    assert events[1] == {"event": "action", "action": "stop", "rule": stalled.name, "reason": "x y"}


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


def test_the_example_of_a_rule_of_ones_own_is_what_aws_documents():
    """It is the sample that fails with smdebug alone: its Rule wants an action_str."""
    assert "super().__init__(base_trial)" in textwrap.dedent(OWN)

"""Results of the profiler's rules: AWS's envelope, states, files, and the first sentences."""

import json
from dataclasses import replace

import pytest
from golden_profile import write_golden
from profiles import T0, TRAIN, Scene, Span, write_timeline

from contract.errors import SpecError
from contract.profile_rules import SINGLE_PROFILE_RULES
from contract.rule_result import RuleResult
from contract.rules import RuleSpec
from debugger.profile.data import Profile
from debugger.profile.evaluate import evaluate_profile, write_json_reports
from debugger.profile.headlines import headlines
from debugger.profile.read import read_profile
from debugger.profile.verdict import State, state_of

REPORT = RuleSpec(name="my report", rule="ProfilerReport")
# What AWS's reports of 2022 to 2025 say; their notebook reads it by position, with int().
SHIPPED = {
    "CPUBottleneck": "threshold:50\ncpu_threshold:90\ngpu_threshold:10\npatience:1000",
    "IOBottleneck": "threshold:50\nio_threshold:50\ngpu_threshold:10\npatience:1000",
    "LowGPUUtilization": "threshold_p95:70\nthreshold_p5:10\nwindow:500\npatience:1000",
    "StepOutlier": "threshold:3\nmode:None\nn_outliers:10\nstddev:3",
    "GPUMemoryIncrease": "increase:5\npatience:1000\nwindow:10",
    "BatchSize": "cpu_threshold_p95:70\ngpu_threshold_p95:70\ngpu_memory_threshold_p95:70\n"
    "patience:1000\nwindow:500",
    "MaxInitializationTime": "threshold:20",
    "LoadBalancing": "threshold:0.2\npatience:1000",
    "OverallSystemUsage": "",
    "Dataloader": "min_threshold:70\nmax_threshold:200",
    "OverallFrameworkMetrics": "",
}
ENVELOPE = {"RuleTriggered", "Violations", "Details", "Datapoints", "RuleParameters"}


@pytest.fixture(scope="module")
def golden(tmp_path_factory) -> Profile:
    return read_profile([write_golden(tmp_path_factory.mktemp("golden"))])


@pytest.mark.parametrize("compat", [False, True])
def test_a_report_has_all_rules_in_awss_order_with_its_parameters(golden, compat):
    results = evaluate_profile(golden, REPORT, compat=compat)
    assert [one.rule for one in results] == [*SHIPPED, "ProfilerReport"]
    assert {one.rule: one.report["RuleParameters"] for one in results[:-1]} == SHIPPED
    assert all(set(one.report) == ENVELOPE for one in results)
    assert results[-1].name == "my report"


@pytest.mark.parametrize("compat", [False, True])
def test_files_are_the_envelopes_and_the_same_files_give_the_same(golden, tmp_path, compat):
    for folder in (tmp_path / "one", tmp_path / "two"):
        write_json_reports(evaluate_profile(golden, REPORT, compat=compat), folder)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(f"{kind.name}.json" for kind in SINGLE_PROFILE_RULES)
    for name in names:
        text = (tmp_path / "one" / name).read_text()
        assert text == (tmp_path / "two" / name).read_text()
        assert set(json.loads(text)) == ENVELOPE
        assert "NaN" not in text


def test_aws_compat_is_a_parameter_of_the_report(golden):
    asked = replace(REPORT, parameters={"aws_compat": "true"})
    results = {one.rule: one for one in evaluate_profile(golden, asked)}
    assert results["CPUBottleneck"].report["Violations"] == 350
    assert results["CPUBottleneck"].report["Datapoints"] == 1400
    assert results["LoadBalancing"].status == "NoIssuesFound"  # it cannot fire
    assert results["Dataloader"].report["RuleTriggered"] == 1
    cause, change, _ = headlines(golden, list(results.values()))
    assert "AWS's arithmetic" in cause
    assert "evaluate without aws_compat" in change
    corrected = {one.rule: one for one in evaluate_profile(golden, REPORT)}
    assert corrected["LoadBalancing"].status == "IssuesFound"
    assert corrected["CPUBottleneck"].report["Datapoints"] == 1198  # of the training loop


def test_the_report_passes_parameters_on_and_refuses_unknown_ones(golden):
    asked = replace(
        REPORT, parameters={"CPUBottleneck_threshold": "20", "Dataloader_patience": "5"}
    )
    results = {one.rule: one for one in evaluate_profile(golden, asked)}
    assert results["CPUBottleneck"].status == "IssuesFound"
    assert results["CPUBottleneck"].report["RuleParameters"].startswith("threshold:20\n")
    assert results["Dataloader"].parameters["patience"] == 5
    with pytest.raises(SpecError, match="CPUBottleneck_threshold"):
        replace(REPORT, parameters={"CPUBottleneck_treshold": "20"})


def test_a_single_rule_bears_the_name_that_it_was_given(golden):
    (result,) = evaluate_profile(golden, RuleSpec(name="ours", rule="LowGPUUtilization"))
    assert (result.name, result.rule, result.status) == ("ours", "LowGPUUtilization", "IssuesFound")
    assert result.num_findings >= len(result.findings) > 0
    assert all(finding.message for finding in result.findings)
    assert RuleResult.from_json(json.loads(json.dumps(result.to_json()))).rule == result.rule


def test_the_report_fires_when_any_rule_does(golden, tmp_path):
    results = evaluate_profile(golden, REPORT)
    fired = [one.rule for one in results[:-1] if one.status == "IssuesFound"]
    assert results[-1].status == "IssuesFound"
    assert results[-1].details == f"fired: {', '.join(fired)}"
    assert results[-1].report["RuleTriggered"] == len(fired) == results[-1].num_findings


def test_every_rule_says_how_it_stands(golden):
    for result in evaluate_profile(golden, REPORT):
        state = state_of(result)
        assert state is not None
        assert result.details.startswith(f"{state}:")
        assert (state is State.FIRED) == (result.status == "IssuesFound")


@pytest.mark.parametrize("compat", [False, True])
def test_nothing_at_all_is_no_error(compat):
    results = evaluate_profile(read_profile([]), REPORT, compat=compat)
    assert {one.status for one in results} == {"NoIssuesFound"}
    first, second, third = headlines(read_profile([]), results)
    assert "none fired" in first
    assert "No step was recorded" in second
    assert third.startswith("Record a timeline")


@pytest.mark.parametrize("compat", [False, True])
def test_a_timeline_or_metrics_alone_are_no_error(tmp_path, compat):
    steps = [Span(phase=TRAIN, start=T0 + n, seconds=0.5, step=n) for n in range(40)]
    write_timeline(tmp_path / "timeline", "26-algo-1", steps)
    write_golden(tmp_path / "both")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "both/system").rename(tmp_path / "metrics/system")
    for folder in ("timeline", "metrics"):
        profile = read_profile([tmp_path / folder])
        results = evaluate_profile(profile, REPORT, compat=compat)
        assert "Error" not in {one.status for one in results}, folder
        assert all(headlines(profile, results))


def test_a_rule_that_breaks_does_not_take_the_others_with_it(golden, caplog):
    """A profile as no reader makes it: its events have lost their arguments."""
    profile = replace(golden, events=replace(golden.events, arguments=()))
    spec = replace(REPORT, parameters={"aws_compat": "true"})
    with caplog.at_level("CRITICAL"):
        results = {one.rule: one for one in evaluate_profile(profile, spec)}
    assert results["Dataloader"].status == "Error"
    assert results["Dataloader"].details.startswith("the rule failed: IndexError")
    assert set(results["Dataloader"].report) == ENVELOPE
    assert results["LowGPUUtilization"].status == "IssuesFound"


SLOW = Scene(hosts=1, gpus=1, cores=4, workers=1, seconds=60.0, start_up=6.0, steps_of_epoch=60)


def test_the_first_sentences_name_cause_change_and_gain(tmp_path):
    profile = read_profile([SLOW.write(tmp_path)])
    results = evaluate_profile(profile, REPORT)
    cause, change, gain = headlines(profile, results)
    assert cause.startswith("algo-1-26: 1 loader worker for 4 cores: data wait is 68 % of a step")
    assert change.startswith("What to change: set num-workers from 1 to 3")
    (loading,) = [one for one in results if one.rule == "Dataloader"]
    training = [span for span in profile.events.phases if span == TRAIN]
    seconds = profile.events.seconds[profile.events.phases == TRAIN].sum()
    expected = loading.report["Details"]["gain_percent"] * seconds / profile.seconds
    assert f"{expected:.0f} % of the job" in gain
    assert "also fired: LowGPUUtilization" in gain
    assert len(training) > 100


def test_of_several_causes_the_dearest_comes_first(tmp_path):
    change = replace(SLOW, hosts=2, gpus=0, slow_host=4.0, wait=0.05)
    profile = read_profile([change.write(tmp_path)])
    results = evaluate_profile(profile, REPORT)
    cause, _, gain = headlines(profile, results)
    assert cause.startswith("algo-2 is the slow host")
    assert "Dataloader" in gain

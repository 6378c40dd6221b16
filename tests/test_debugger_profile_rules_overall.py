"""All of the profiler's rules on a healthy job, and the two that only tell how things were."""

import numpy as np
import pytest
from golden_profile import write_golden
from profile_rules import HEALTHY, evaluate
from profiles import T0, Line, write_system

from contract.rules import RuleSpec
from debugger.profile.evaluate import evaluate_profile
from debugger.profile.headlines import headlines
from debugger.profile.read import read_profile
from debugger.profile.verdict import State, state_of


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return read_profile([HEALTHY.write(tmp_path_factory.mktemp("healthy"))])


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    return read_profile([write_golden(tmp_path_factory.mktemp("golden"))])


def test_nothing_fires_on_a_healthy_job(healthy):
    results = evaluate_profile(healthy, RuleSpec(name="report", rule="ProfilerReport"))
    assert [result.rule for result in results if result.status != "NoIssuesFound"] == []
    assert len(results) == 12
    states = {result.rule: state_of(result) for result in results}
    assert states.pop("LoadBalancing") is State.NO_METRIC  # there is one GPU
    assert set(states.values()) == {State.FINE}
    first, second, third = headlines(healthy, results)
    assert first.startswith("Nothing to change was found: 8 of 9 rules checked")
    assert "backward" in second
    assert "precision bf16" in third


def test_the_use_of_a_host_is_divided_by_its_own_cores(tmp_path):
    """AWS divides by the names of cores on all hosts: 40 % of two cores would be 20 %."""
    for host, cores in (("algo-1", 2), ("algo-2", 4)):
        write_system(
            tmp_path,
            host,
            [
                Line(at=T0 + i, type="cpu", name=f"cpu{core}", dimension="CPUUtilization", value=40)
                for i in range(20)
                for core in range(cores)
            ],
        )
    usage = evaluate(tmp_path, "OverallSystemUsage").report["Details"]["CPU"]
    assert {host: use["p50"] for host, use in usage.items()} == {"algo-1": 40.0, "algo-2": 40.0}


def test_system_usage_is_that_of_numpy(golden):
    (result,) = evaluate_profile(golden, RuleSpec(name="r", rule="OverallSystemUsage"))
    details = result.report["Details"]
    ticks = np.arange(1400)
    gpu = (np.where(ticks % 4 == 0, 5, 95) + (7 * ticks) % 100) / 2
    expected = {"max": gpu.max(), "p95": np.quantile(gpu, 0.95), "p50": np.median(gpu),
                "mean": gpu.mean()}  # fmt: skip
    for name, value in expected.items():
        assert details["GPU"]["algo-1"][name] == round(float(value), 2)
    assert details["Network"]["algo-1"]["max"] == 15 * 1399
    assert result.report["Datapoints"] == 1400


def test_shares_of_the_timeline_sum_to_100_and_others_is_true(golden):
    """Steps of training last 162 s, of evaluation 12 s; from the first to the end of the last it
    is 664.35 s."""
    (result,) = evaluate_profile(golden, RuleSpec(name="r", rule="OverallFrameworkMetrics"))
    details = result.report["Details"]
    assert details["phase"]["Step:ModeKeys.TRAIN"] == pytest.approx(100 * 162 / 664.35, abs=1e-3)
    assert details["phase"]["Step:ModeKeys.EVAL"] == pytest.approx(100 * 12 / 664.35, abs=1e-3)
    assert details["phase"]["others"] == pytest.approx(100 * 490.35 / 664.35, abs=1e-3)
    assert details["ratio"]["cpu_functions"] == pytest.approx(100 * 0.4 / 0.75)
    assert details["CPU"] == pytest.approx({"aten::conv2d": 75.0, "aten::relu": 25.0})
    assert details["forward_backward"] == pytest.approx({"Forward pass": 40, "Backward pass": 60})
    for name in ("phase", "ratio", "general", "parts"):
        assert sum(details[name].values()) == pytest.approx(100)
        assert min(details[name].values()) >= 0

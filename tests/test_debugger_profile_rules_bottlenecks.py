"""CPUBottleneck and IOBottleneck on made-up jobs that must make them fire, and on healthy twins."""

import pytest
from golden_profile import write_golden
from profile_rules import evaluate, loading, samples
from profiles import T0, TRAIN, Line, Span, write_system, write_timeline

from contract.rules import RuleSpec
from debugger.profile.evaluate import evaluate_profile
from debugger.profile.read import read_profile
from debugger.profile.verdict import State, state_of


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    return read_profile([write_golden(tmp_path_factory.mktemp("golden"))])


def test_a_gpu_that_idles_while_a_core_is_busy_is_a_cpu_bottleneck(tmp_path):
    gpu, cpu = [2.0, 2.0, 95.0] * 40, [(99.0, 10.0), (99.0, 10.0), (20.0, 10.0)] * 40
    result = evaluate(samples(tmp_path, gpu, cpu), "CPUBottleneck")
    assert result.status == "IssuesFound"
    assert result.findings[0].value == pytest.approx(100 * 80 / 120)
    assert "in 67 % of 120 samples a GPU is below 10 % while a core is above 90 %" in result.details
    assert "patience 1000 is fitted to 30 for 120 samples" in result.details
    report = result.report
    assert (report["RuleTriggered"], report["Violations"], report["Datapoints"]) == (1, 80, 120)
    assert report["Details"]["low_gpu_utilization"] == 80
    assert report["Details"]["bottlenecks"][repr(T0 + 0.1)] == {
        "GPUs": 1, "CPUs": 1, "Node": "algo-1",
    }  # fmt: skip


def test_a_gpu_that_idles_while_the_cpu_idles_too_is_none(tmp_path):
    gpu, cpu = [2.0, 2.0, 95.0] * 40, [(30.0, 10.0)] * 120
    result = evaluate(samples(tmp_path, gpu, cpu), "CPUBottleneck")
    assert state_of(result) is State.FINE


def test_a_busy_core_of_another_host_is_no_bottleneck_of_this_one(tmp_path):
    """AWS adds all hosts together: its arithmetic fires here."""
    samples(tmp_path, [2.0] * 120, [5.0] * 120)
    busy = [
        Line(at=T0 + 0.1 + i * 0.5, type="cpu", name="cpu0", dimension="CPUUtilization", value=99.0)
        for i in range(120)
    ]
    write_system(tmp_path, "algo-2", busy)
    assert state_of(evaluate(tmp_path, "CPUBottleneck")) is State.FINE
    spec = RuleSpec(name="r", rule="CPUBottleneck", parameters={"patience": "100"})
    (compat,) = evaluate_profile(read_profile([tmp_path]), spec, compat=True)
    assert compat.status == "IssuesFound"


def test_start_up_does_not_count_where_steps_are_known(tmp_path):
    """The GPU idles for the first half, while pictures come down and a core works."""
    samples(tmp_path, [0.0] * 60 + [95.0] * 60, [(99.0,)] * 60 + [(99.0,)] * 60)
    steps = [Span(phase=TRAIN, start=T0 + 31 + n * 0.5, seconds=0.5, step=n) for n in range(56)]
    write_timeline(tmp_path, "26-algo-1", steps)
    assert state_of(evaluate(tmp_path, "CPUBottleneck", threshold=40)) is State.FINE
    assert state_of(evaluate(tmp_path, "LowGPUUtilization")) is State.FINE


def test_too_few_samples_are_said_to_be_too_few(tmp_path):
    result = evaluate(samples(tmp_path, [2.0] * 6, [99.0] * 6), "CPUBottleneck")
    assert result.status == "NoIssuesFound"
    assert result.details.startswith("NOT ENOUGH DATA: 6 samples of a GPU, more than 7 are needed")


def test_a_patience_that_was_asked_for_is_kept(tmp_path):
    folder = samples(tmp_path, [2.0] * 120, [99.0] * 120)
    result = evaluate(folder, "CPUBottleneck", patience=500)
    assert result.details.startswith("NOT ENOUGH DATA: 120 samples of a GPU, more than 499")
    assert evaluate(folder, "CPUBottleneck", patience=120).status == "IssuesFound"


def test_what_ran_during_bottlenecks_counts_once(golden):
    spec = RuleSpec(name="r", rule="CPUBottleneck", parameters={"threshold": "20"})
    (result,) = evaluate_profile(golden, spec)
    assert result.status == "IssuesFound"
    assert result.report["Details"]["general"] == {"DataLoaderIter": 100.0}
    assert result.report["Details"]["phase"] == {}  # no step lies around a bottleneck


def test_a_core_that_waits_for_a_disk_is_an_io_bottleneck(tmp_path):
    gpu, wait = [2.0, 95.0] * 60, [80.0, 5.0] * 60
    folder = samples(tmp_path, gpu, [30.0] * 120, wait)
    assert state_of(evaluate(folder, "IOBottleneck")) is State.FINE  # half of them is not more
    result = evaluate(folder, "IOBottleneck", threshold=40)
    assert result.status == "IssuesFound"
    assert "kennel data pack" in result.findings[0].advice


def test_without_a_gpu_steps_that_wait_for_busy_workers_are_a_cpu_bottleneck(tmp_path):
    folder = loading(tmp_path, 0.15, 2, cpu=(95, 95), io_wait=(0, 0), load=0.45)
    result = evaluate(folder, "CPUBottleneck")
    assert result.status == "IssuesFound"
    assert "data wait is 60 % of a step and 2 loader workers cannot make batches faster" in (
        result.details
    )
    assert "1.9 of 2 cores are busy" in result.details
    assert "are all that fit" in result.findings[0].advice
    assert result.report["Details"]["gain_percent"] == pytest.approx(60, abs=1)
    assert state_of(evaluate(folder, "IOBottleneck")) is State.FINE


def test_without_a_gpu_steps_that_wait_for_a_disk_are_an_io_bottleneck(tmp_path):
    folder = loading(tmp_path, 0.15, 2, cpu=(10, 10), io_wait=(85, 5), load=0.45)
    result = evaluate(folder, "IOBottleneck")
    assert result.status == "IssuesFound"
    assert (
        "data wait is 60 % of a step, and in 100 % of that a core waits for I/O" in result.details
    )
    assert state_of(evaluate(folder, "CPUBottleneck")) is State.FINE


def test_without_a_gpu_steps_that_hardly_wait_are_fine(tmp_path):
    folder = loading(tmp_path, 0.01, 2, cpu=(95, 95), io_wait=(0, 0), load=0.1)
    for rule in ("CPUBottleneck", "IOBottleneck"):
        result = evaluate(folder, rule)
        assert state_of(result) is State.FINE
        assert "data wait is 9.1 % of a step" in result.details


def test_without_gpu_and_loader_there_is_nothing_to_look_at(tmp_path):
    write_timeline(
        tmp_path,
        "0-algo-1",
        [Span(phase=TRAIN, start=T0 + n, seconds=0.9, step=n) for n in range(30)],
    )
    for rule in ("CPUBottleneck", "IOBottleneck", "Dataloader"):
        assert state_of(evaluate(tmp_path, rule)) is State.NO_METRIC

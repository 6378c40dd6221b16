"""With aws_compat our rules give AWS's numbers: those of its own code on the same data."""

import pytest
from golden_profile import write_golden

from debugger.profile import parameters as told
from debugger.profile.aws import bottlenecks, overall, steps, usage
from debugger.profile.numbers import to_plain
from debugger.profile.read import read_profile


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return read_profile([write_golden(tmp_path_factory.mktemp("golden"))])


def counts(verdict):
    return verdict.triggered, verdict.violations, verdict.datapoints


def test_the_profile_is_the_described_one(profile):
    assert profile.first_file_at == 1700000040
    assert len(profile.events) == 1 + 300 * 7 + 120
    assert profile.events.nodes[0] == "algo-1-26"


def test_cpu_bottleneck(profile):
    verdict = bottlenecks.replay_cpu_bottleneck(profile, told.CpuBottleneck())
    assert counts(verdict) == (0, 350, 1400)
    assert verdict.details["low_gpu_utilization"] == 448
    first = next(iter(verdict.details["bottlenecks"].items()))
    assert first == ("1700000040.1", {"GPUs": 2, "CPUs": 1})
    assert "phase" not in verdict.details


def test_cpu_bottleneck_that_fires_says_what_ran(profile):
    verdict = bottlenecks.replay_cpu_bottleneck(profile, told.CpuBottleneck(threshold=20))
    assert counts(verdict) == (4, 350, 1400)
    assert verdict.details["general"] == {"DataLoaderIter": 100.0}


def test_io_bottleneck(profile):
    verdict = bottlenecks.replay_io_bottleneck(profile, told.IoBottleneck())
    assert counts(verdict) == (0, 175, 1400)
    assert verdict.details["low_gpu_utilization"] == 448
    fired = bottlenecks.replay_io_bottleneck(profile, told.IoBottleneck(threshold=10, patience=100))
    assert counts(fired) == (12, 175, 1400)


def test_low_gpu_utilization(profile):
    verdict = usage.replay_low_gpu_utilization(profile, told.LowGpuUtilization())
    assert counts(verdict) == (8, 8, 1400)
    gpus = verdict.details["algo-1"]
    known = {"gpu_max": 95.0, "gpu_95": 95.0, "gpu_5": 5.0, "p25": 72.5, "p50": 95.0,
             "lower": 38.75, "upper": 95.0}  # fmt: skip
    assert {name: gpus["gpu0"][name] for name in known} == pytest.approx(known)
    known = {"gpu_max": 99.0, "gpu_95": 94.05, "gpu_5": 4.95, "p25": 24.75, "p50": 49.5,
             "p75": 74.25, "upper": 99.0, "lower": 0.0}  # fmt: skip
    assert {name: gpus["gpu1"][name] for name in known} == pytest.approx(known)
    assert verdict.details["last_timestamp"] == 1700000700000000


def test_gpu_memory_increase(profile):
    verdict = usage.replay_gpu_memory_increase(profile, told.GpuMemoryIncrease())
    assert counts(verdict) == (10, 10, 1400)
    assert verdict.details["algo-1"]["gpu0"]["increase"] == pytest.approx(5.111111, abs=1e-6)
    assert verdict.details["algo-1"]["gpu0"]["gpu_max"] == 80.0
    assert verdict.details["last_timestamp"] == 1700000580000000


def test_batch_size(profile):
    assert counts(usage.replay_batch_size(profile, told.BatchSize())) == (0, 0, 1400)


def test_batch_size_that_fires_keeps_the_whiskers_of_the_wrong_box(profile):
    asked = told.BatchSize(cpu_threshold_p95=80, gpu_threshold_p95=99, patience=600)
    verdict = usage.replay_batch_size(profile, asked)
    assert counts(verdict) == (11, 11, 1400)
    found = verdict.details["algo-1"]
    known = {"p75": 51.875, "p95": 72.5, "upper": 62.1875}
    assert {name: found["cpu"][name] for name in known} == pytest.approx(known)
    assert found["gpu0_memory"]["upper"] == pytest.approx(-83.75)
    assert found["gpu0_memory"]["lower"] == pytest.approx(103.75)
    assert verdict.details["last_timestamp"] == 1700000040000000


def test_step_outlier(profile):
    verdict = steps.replay_step_outlier(profile, told.StepOutlier())
    assert counts(verdict) == (4, 47, 420)
    (found,) = verdict.details["step_details"].values()
    assert found["phase"] == "Step:ModeKeys.EVAL"
    assert found["number_of_outliers"] == 0
    assert found["step_stats"]["mean"] == pytest.approx(0.1)
    ratio = verdict.details["ratio"]
    assert ratio["cpu_functions"] == pytest.approx(46.667, abs=1e-3)
    assert ratio["gpu_functions-dev:0"] == pytest.approx(53.333, abs=1e-3)


def test_max_initialization_time(profile):
    verdict = steps.replay_max_initialization_time(profile, told.MaxInitializationTime())
    assert counts(verdict) == (0, 0, 420)
    assert verdict.details["step_num"] == {"first": 1700000060250000, "last": 1700000724500000}
    assert verdict.details["job_start"] == 1700000040.1
    assert verdict.details["job_end"] == 1700000739.6


def test_load_balancing(profile):
    verdict = usage.replay_load_balancing(profile, told.LoadBalancing())
    assert counts(verdict) == (0, 0, 1400)
    workloads = verdict.details["algo-1"]["workloads"]
    assert [len(one) for one in workloads.values()] == [49, 49]
    assert [sum(one) for one in workloads.values()] == [1400, 1386]


def test_dataloader(profile):
    verdict = steps.replay_dataloader(profile, told.Dataloader())
    assert counts(verdict) == (1, 11, 300)
    known = {"cores": 2, "dataloaders": 1, "pin_memory": False, "num_workers": 2}
    assert {name: verdict.details[name] for name in known} == known


def test_overall_system_usage(profile):
    verdict = overall.replay_overall_system_usage(profile, told.Parameters())
    assert counts(verdict) == (0, 0, 1400)
    known = {
        "Network": {"max": 20985.0, "p99": 20775.15, "p50": 10492.5},
        "GPU": {"max": 97.0, "p95": 94.02, "p50": 64.25, "min": 2.5},
        "CPU": {"max": 72.5, "p50": 45.0},
        "GPU memory": {"max": 50.0, "p50": 15.0},
        "I/O": {"max": 30.0, "p50": 0.5},
    }
    for word, numbers in known.items():
        found = verdict.details[word]["algo-1"]
        assert {name: found[name] for name in numbers} == numbers, word
    assert verdict.details["CPU memory"]["algo-1"]["max"] == 24.0


def test_overall_framework_metrics(profile):
    verdict = overall.replay_overall_framework_metrics(profile, told.Parameters())
    assert counts(verdict) == (0, 0, 0)
    details = verdict.details
    assert details["ratio"]["gpu_functions-dev:0"] == pytest.approx(46.667, abs=1e-3)
    assert details["ratio"]["cpu_functions"] == pytest.approx(53.333, abs=1e-3)
    assert details["CPU"] == pytest.approx({"aten::conv2d": 75.0, "aten::relu": 25.0})
    assert details["CPU_total"] == {"aten::conv2d": 90000000, "aten::relu": 30000000}
    assert details["phase"]["Step:ModeKeys.TRAIN"] == pytest.approx(38.85, abs=5e-3)
    assert details["phase"]["others"] == pytest.approx(58.27, abs=5e-3)
    assert details["phase"]["Step:ModeKeys.EVAL"] == pytest.approx(2.88, abs=5e-3)
    assert details["forward_backward"] == pytest.approx({"Forward pass": 40, "Backward pass": 60})
    assert details["phase_time"] == {}


def test_what_is_reported_is_plain_json(profile):
    verdict = usage.replay_low_gpu_utilization(profile, told.LowGpuUtilization())
    plain = to_plain(verdict.details)
    assert type(plain["algo-1"]["gpu0"]["gpu_max"]) is float

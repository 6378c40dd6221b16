"""Rules about GPUs on made-up jobs: their use, their memory, the batch, and who does less."""

from dataclasses import replace

import numpy as np
import pytest
from profile_rules import HEALTHY, evaluate, samples, scene
from profiles import EVAL, T0, TRAIN, Line, Span, write_system, write_timeline

from debugger.profile.rules.load_balancing import distance
from debugger.profile.verdict import State, state_of

# LowGPUUtilization


def test_a_gpu_that_is_hardly_used_is_found_with_its_quantiles(tmp_path):
    values = np.random.default_rng(0).uniform(0, 60, 200)
    result = evaluate(samples(tmp_path, values.tolist(), [20.0] * 200), "LowGPUUtilization")
    assert result.status == "IssuesFound"
    use = result.report["Details"]["algo-1"]["gpu0"]
    p25, p75 = np.quantile(values, [0.25, 0.75])
    assert use["gpu_95"] == pytest.approx(np.quantile(values, 0.95))
    assert use["p50"] == pytest.approx(np.median(values))
    assert use["upper"] == pytest.approx(min(values.max(), p75 + 1.5 * (p75 - p25)))
    assert use["lower"] == pytest.approx(max(values.min(), p25 - 1.5 * (p75 - p25)))
    assert result.report["Details"]["last_timestamp"] > T0 * 1e6
    assert result.report["RuleTriggered"] == 1  # one GPU, however many minutes
    assert {finding.step for finding in result.findings} == {0, 1}  # windows, for a time axis


@pytest.mark.parametrize(
    ("values", "fires", "words"),
    [
        ([95.0] * 100, False, ""),
        ([95.0, 95.0, 2.0] * 40, True, "up and down"),
        ([0.0] * 100, True, "is not used at all"),
    ],
)
def test_use_that_is_high_low_or_goes_up_and_down(tmp_path, values, fires, words):
    result = evaluate(samples(tmp_path, values, [20.0] * len(values)), "LowGPUUtilization")
    assert (result.status == "IssuesFound") == fires
    assert words in result.details


def test_an_idle_gpu_whose_steps_wait_for_data_is_told_to_load_faster(tmp_path):
    result = scene(tmp_path, "LowGPUUtilization", replace(HEALTHY, wait=0.6, workers=1))
    assert result.status == "IssuesFound"
    assert "steps wait for data for 75 % of their time: set num-workers from 1 to" in (
        result.findings[0].advice
    )


@pytest.mark.parametrize("rule", ["LowGPUUtilization", "GPUMemoryIncrease"])
def test_a_job_without_a_gpu_has_no_such_metric(tmp_path, rule):
    result = scene(tmp_path, rule, replace(HEALTHY, gpus=0))
    assert result.details.startswith("no such metric: the profile holds no GPU")
    assert result.report["RuleTriggered"] == 0


# GPUMemoryIncrease


def memory(folder, values):
    lines = [
        Line(
            at=T0 + 0.1 + 0.5 * i, type="gpu", name="gpu0", dimension=dimension, value=float(value)
        )
        for i, level in enumerate(values)
        for dimension, value in (("GPUUtilization", 90), ("GPUMemoryUtilization", level))
    ]
    write_system(folder, "algo-1", lines)
    return folder


def test_a_jump_of_memory_is_found_once(tmp_path):
    result = evaluate(memory(tmp_path, [20] * 60 + [32] * 60), "GPUMemoryIncrease")
    assert result.status == "IssuesFound"
    assert (result.report["RuleTriggered"], result.report["Violations"]) == (1, 1)
    assert result.report["Details"]["algo-1"]["gpu0"]["increase"] == pytest.approx(12)
    assert "memory jumped by 12 points" in result.details
    assert "68 points are left" in result.findings[0].advice


def test_a_leak_is_found_and_when_memory_ends(tmp_path):
    values = 20 + 0.05 * np.arange(400)
    result = evaluate(memory(tmp_path, values), "GPUMemoryIncrease")
    assert result.status == "IssuesFound"
    assert "memory grew steadily from 25 % to 40 %" in result.details
    # 0.1 points a second: the 60 points that are left last 10 minutes.
    assert "memory ends in 10.0 min" in result.findings[0].advice


@pytest.mark.parametrize(
    "values",
    [[20] * 200, [5] * 20 + [60] * 180, (20 + 2 * np.sin(np.arange(200))).tolist()],
    ids=["even", "fills in the beginning", "up and down"],
)
def test_memory_that_does_not_grow_while_training_is_fine(tmp_path, values):
    assert state_of(evaluate(memory(tmp_path, values), "GPUMemoryIncrease")) is State.FINE


# BatchSize


def test_a_gpu_that_has_room_in_every_way_gets_a_larger_batch(tmp_path):
    little = replace(HEALTHY, idle_gpu=0.4)
    result = scene(tmp_path, "BatchSize", little)
    assert result.status == "IssuesFound"
    assert "raise batch-size up to 2 times: 60 % of the GPU's memory are free" in (
        result.findings[0].advice
    )
    boxes = result.report["Details"]["algo-1"]
    assert list(boxes) == ["cpu", "gpu0", "gpu0_memory"]
    assert boxes["gpu0_memory"]["lower"] <= boxes["gpu0_memory"]["p25"]
    assert boxes["gpu0_memory"]["upper"] >= boxes["gpu0_memory"]["p75"]


def test_a_gpu_that_waits_for_data_needs_no_larger_batch(tmp_path):
    result = scene(tmp_path, "BatchSize", replace(HEALTHY, wait=0.6, workers=1))
    assert state_of(result) is State.FINE
    assert "a larger batch would not change that" in result.details


def test_one_idle_gpu_beside_a_busy_one_needs_no_larger_batch(tmp_path):
    result = scene(tmp_path, "BatchSize", replace(HEALTHY, gpus=2, idle_gpu=0.3))
    assert state_of(result) is State.FINE


def batches(folder, batch, forward, evaluated):
    """30 steps of an epoch of 30 x `batch` pictures, and an evaluation in batches of 32."""
    spans, at = [], T0 + 1
    begin = at
    for n in range(30):
        parts = (("DataLoaderIter", 0.001), ("Forward", forward),
                 ("Backward(post-forward)", 2 * forward), ("Optimizer", 0.002))  # fmt: skip
        start = at
        for phase, seconds in parts:
            spans.append(Span(phase=phase, start=at, seconds=seconds, step=n))
            at += seconds
        spans.append(Span(phase=TRAIN, start=start, seconds=at - start, step=n))
    for n in range(3):
        spans.append(
            Span(phase=EVAL, start=at, seconds=evaluated, step=n, arguments={"num_images": 32})
        )
        at += evaluated
    facts = {"epoch": 1, "batch_size": batch, "num_images": 30 * batch}
    spans.append(Span(phase="Epoch", start=begin, seconds=at - begin, arguments=facts))
    write_timeline(folder, "0-algo-1", spans)
    return folder


def test_without_a_gpu_a_picture_that_is_dearer_in_a_small_batch_shows_it(tmp_path):
    # 8 ms a picture in batches of 2, 1 ms in batches of 32.
    result = evaluate(batches(tmp_path, 2, forward=0.016, evaluated=0.032), "BatchSize")
    assert result.status == "IssuesFound"
    assert "takes 8 ms in a batch of 2 and 1 ms in the evaluation's batches of 32" in result.details
    assert "raise batch-size from 2 to 32" in result.findings[0].advice
    passes = 0.048 / 0.051
    expected = passes * (1 - 1.25 / 8) + 0.002 / 0.051 * (1 - 1 / 16)
    assert result.report["Details"]["gain_percent"] == pytest.approx(100 * expected, abs=0.5)


def test_without_a_gpu_a_picture_that_costs_the_same_shows_a_large_one(tmp_path):
    result = evaluate(batches(tmp_path, 16, forward=0.018, evaluated=0.032), "BatchSize")
    assert state_of(result) is State.FINE


# LoadBalancing


def test_a_gpu_that_does_less_than_its_neighbour_is_named(tmp_path):
    result = scene(tmp_path, "LoadBalancing", replace(HEALTHY, gpus=2, idle_gpu=0.4))
    assert result.status == "IssuesFound"
    assert result.details.startswith("fired: algo-1 gpu1 is used for")
    details = result.report["Details"]["algo-1"]
    num = result.report["Datapoints"] // 2
    assert [sum(counts) for counts in details["workloads"].values()] == [num, num]
    assert details["distances"]["gpu0"]["gpu1"] > 0.2


def test_gpus_that_do_the_same_are_fine(tmp_path):
    assert state_of(scene(tmp_path, "LoadBalancing", replace(HEALTHY, gpus=3))) is State.FINE


def test_a_slow_host_is_named_and_equal_ones_are_fine(tmp_path):
    two = replace(HEALTHY, hosts=2, gpus=0)
    result = scene(tmp_path / "slow", "LoadBalancing", replace(two, slow_host=1.7))
    assert result.status == "IssuesFound"
    assert result.details.startswith("fired: algo-2 is the slow host")
    assert result.findings[0].tensor == "algo-2"
    fine = scene(tmp_path / "even", "LoadBalancing", two)
    assert state_of(fine) is State.FINE


def test_the_distance_of_histograms_is_scipys_less_what_chance_makes():
    from scipy.spatial.distance import jensenshannon

    random = np.random.default_rng(0)
    p, q = random.integers(1, 3000, 50), random.integers(1, 3000, 50)
    divergence = jensenshannon(p, q) ** 2
    chance = 49 / 8 * (1 / p.sum() + 1 / q.sum())
    assert distance(p, q) == pytest.approx(np.sqrt(divergence - chance))
    apart = np.eye(2, 50, dtype=int) * 10**9
    assert distance(*apart) == pytest.approx(np.log(2) ** 0.5)
    # Two samples of the same use are not told apart, however few they are.
    edges = np.arange(0, 102, 2)
    far = [
        distance(*(np.histogram(random.uniform(0, 100, 60), edges)[0] for _ in range(2)))
        for _ in range(200)
    ]
    assert np.mean(np.array(far) > 0.2) < 0.05

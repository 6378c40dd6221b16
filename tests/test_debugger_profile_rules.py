"""Each of the profiler's rules on a made-up job that must make it fire, and on its healthy twin."""

from dataclasses import replace

import numpy as np
import pytest
from golden_profile import write_golden
from profiles import EVAL, T0, TRAIN, Line, Scene, Span, write_system, write_timeline

from contract.rules import RuleSpec
from debugger.profile.evaluate import evaluate_profile
from debugger.profile.headlines import headlines
from debugger.profile.read import read_profile
from debugger.profile.rules.load_balancing import distance
from debugger.profile.verdict import State, state_of

# Two hosts would double the work of every test; a minute is short, and rules must do with it.
HEALTHY = Scene(hosts=1, gpus=1, cores=4, workers=3, seconds=60.0, start_up=6.0, wait=0.003,
                compute=0.2, steps_of_epoch=80)  # fmt: skip


def evaluate(folder, rule, **parameters):
    given = {name: str(value) for name, value in parameters.items()}
    (result,) = evaluate_profile(
        read_profile([folder]), RuleSpec(name=rule, rule=rule, parameters=given)
    )
    return result


def scene(tmp_path, rule, change=None, **parameters):
    return evaluate((change or HEALTHY).write(tmp_path), rule, **parameters)


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    return read_profile([write_golden(tmp_path_factory.mktemp("golden"))])


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return read_profile([HEALTHY.write(tmp_path_factory.mktemp("healthy"))])


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


# CPUBottleneck and IOBottleneck


def samples(folder, gpu, cpu, io_wait=(), interval=0.5, start=T0 + 0.1):
    """One host; values are functions of the tick, or sequences."""
    lines = []
    for i, value in enumerate(gpu):
        at = start + i * interval
        lines.append(Line(at=at, type="gpu", name="gpu0", dimension="GPUUtilization", value=value))
        for core, busy in enumerate(np.atleast_1d(cpu[i])):
            lines.append(
                Line(at=at, type="cpu", name=f"cpu{core}", dimension="CPUUtilization",
                     value=float(busy))
            )  # fmt: skip
        if len(io_wait):
            lines.append(
                Line(at=at, type="cpu", name="cpu0", dimension="I/OWaitPercentage",
                     value=float(io_wait[i]))
            )  # fmt: skip
    write_system(folder, "algo-1", lines)
    return folder


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


def loading(folder, wait, workers, cpu, io_wait, compute=0.1, steps=120, load=None):
    """A host with two cores and no GPU; each value of `cpu` is that of a core."""
    spans, at = [], T0 + 2
    facts = {"pin_memory": False, "num_workers": workers}
    spans.append(Span(phase="DataLoaderIterInitialize", start=at, seconds=0.01, arguments=facts))
    for n in range(steps):
        spans.append(Span(phase="DataLoaderIter", start=at, seconds=wait, step=n))
        for worker in range(workers if load else 0):
            if n % workers == worker:
                begin = max(T0, at + wait - load)
                spans.append(
                    Span(
                        phase="DataLoaderWorker", start=begin, seconds=load, step=n, pid=50 + worker
                    )
                )
        for phase, share in (("Forward", 0.3), ("Backward(post-forward)", 0.6), ("Optimizer", 0.1)):
            spans.append(Span(phase=phase, start=at + wait, seconds=share * compute, step=n))
            at += share * compute
        at += wait
        spans.append(Span(phase=TRAIN, start=at - wait - compute, seconds=wait + compute, step=n))
    write_timeline(folder, "0-algo-1", spans)
    lines = [
        Line(at=T0 + 0.1 + 0.1 * i, type="cpu", name=f"cpu{core}", dimension=dimension, value=value)
        for i in range(int((at - T0) * 10))
        for dimension, values in (("CPUUtilization", cpu), ("I/OWaitPercentage", io_wait))
        for core, value in enumerate(values)
    ]
    write_system(folder, "algo-1", lines)
    return folder


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


# StepOutlier


def stepping(folder, seconds, mode=TRAIN, others=()):
    spans, at = [], T0 + 1
    for n, length in enumerate(seconds):
        spans.append(Span(phase="Forward", start=at, seconds=0.3 * length, step=n))
        late = at + 0.3 * length
        spans.append(Span(phase="Optimizer", start=late, seconds=0.69 * length, step=n))
        spans.append(Span(phase=mode, start=at, seconds=length, step=n))
        at += length
    write_timeline(folder, "0-algo-1", [*spans, *others])
    return folder


def test_long_steps_are_found_with_their_numbers_and_their_part(tmp_path):
    lengths = [0.1] * 100
    for place in (20, 40, 60, 80):
        lengths[place] = 1.0
    result = evaluate(stepping(tmp_path, lengths), "StepOutlier")
    assert result.status == "IssuesFound"
    details = result.report["Details"]["step_details"]["algo-1-0"]
    assert details["step_numbers"] == ["20", "40", "60", "80"]
    assert details["number_of_outliers"] == 4
    assert sum(details["probs"]) == 96
    values = np.array(lengths)
    assert details["step_stats"]["p99"] == pytest.approx(np.quantile(values, 0.99), abs=1e-5)
    assert "4 of 100 steps (TRAIN) took longer than" in result.details
    assert "optimizer took 690 ms instead of 69 ms" in result.details


def test_steps_that_vary_a_little_are_fine(tmp_path):
    lengths = np.random.default_rng(0).normal(0.1, 0.01, 400)
    assert state_of(evaluate(stepping(tmp_path, lengths), "StepOutlier")) is State.FINE


def test_one_long_step_of_many_is_nothing(tmp_path):
    assert state_of(evaluate(stepping(tmp_path, [0.1] * 300 + [0.5]), "StepOutlier")) is State.FINE


def test_training_and_evaluation_are_both_reported(golden):
    (result,) = evaluate_profile(golden, RuleSpec(name="r", rule="StepOutlier"))
    details = result.report["Details"]
    assert details["step_details"]["algo-1-26"]["phase"] == TRAIN
    modes = details["modes"]["algo-1-26"]
    assert {mode: one["number_of_outliers"] for mode, one in modes.items()} == {
        "TRAIN": 12, "EVAL": 0,
    }  # fmt: skip
    assert details["ratio"]["cpu_functions"] == pytest.approx(100 * 0.4 / 0.75)


def test_a_mode_and_a_number_of_outliers_can_be_asked_for(golden):
    for parameters in ({"mode": "Step:ModeKeys.EVAL"}, {"n_outliers": "12"}, {"stddev": "6"}):
        spec = RuleSpec(name="r", rule="StepOutlier", parameters=parameters)
        assert state_of(evaluate_profile(golden, spec)[0]) is State.FINE
    spec = RuleSpec(name="r", rule="StepOutlier", parameters={"n_outliers": "11"})
    assert evaluate_profile(golden, spec)[0].status == "IssuesFound"


def test_few_steps_are_not_enough(tmp_path):
    result = evaluate(stepping(tmp_path, [0.1] * 15), "StepOutlier")
    assert result.details.startswith("NOT ENOUGH DATA: 15 steps of a process")


# MaxInitializationTime


def test_a_late_first_step_is_found_with_what_took_the_time(tmp_path):
    scenes = [
        Span(phase="FeaturePass", start=T0 + 10, seconds=150),
        *(Span(phase=TRAIN, start=T0 + 170 + n, seconds=0.9, step=n) for n in range(30)),
    ]
    write_timeline(tmp_path, "0-algo-1", scenes)
    samples(tmp_path, [0.0] * 400, [50.0] * 400)
    result = evaluate(tmp_path, "MaxInitializationTime", threshold=2)
    assert result.status == "IssuesFound"
    assert "2.8 min before the first step" in result.details
    assert "FeaturePass took 2.5 min of it" in result.findings[0].advice
    assert result.report["Details"]["step_num"]["first"] == round((T0 + 170) * 1e6)
    assert state_of(evaluate(tmp_path, "MaxInitializationTime")) is State.FINE


def test_a_job_without_steps_waits_for_them(tmp_path):
    samples(tmp_path, [0.0] * 400, [50.0] * 400)
    result = evaluate(tmp_path, "MaxInitializationTime", threshold=1)
    assert result.status == "IssuesFound"
    assert "without a step" in result.details
    assert state_of(evaluate(tmp_path, "MaxInitializationTime")) is State.NOT_ENOUGH


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


# Dataloader


def test_too_few_workers_are_found_with_how_many_are_better(tmp_path):
    folder = loading(tmp_path, 0.15, 1, cpu=(60, 10), io_wait=(0, 0), load=0.25)
    result = evaluate(folder, "Dataloader")
    assert result.status == "IssuesFound"
    assert "1 loader worker for 2 cores: data wait is 60 % of a step (150 ms of 250 ms)" in (
        result.details
    )
    # Two workers make a batch in 125 ms; both cores have 250 + 100 ms of work: 175 ms.
    assert "set num-workers from 1 to 2: a step would take about 175 ms, 30 % less" in (
        result.findings[0].advice
    )
    assert result.report["Details"]["gain_percent"] == pytest.approx(30, abs=0.5)


def test_workers_that_are_fast_enough_are_fine(tmp_path):
    """AWS fires: one worker for two cores is below 70 %."""
    folder = loading(tmp_path, 0.004, 1, cpu=(60, 10), io_wait=(0, 0), load=0.05)
    result = evaluate(folder, "Dataloader")
    assert state_of(result) is State.FINE
    assert "data wait is 3.8 % of a step with 1 loader worker on 2 cores" in result.details


def test_far_too_many_workers_are_found(tmp_path):
    folder = loading(tmp_path, 0.004, 6, cpu=(60, 10), io_wait=(0, 0), load=0.05)
    result = evaluate(folder, "Dataloader")
    assert result.status == "IssuesFound"
    assert "6 loader workers for 2 cores, 300 % of them" in result.details
    assert "set num-workers from 6 to 2" in result.findings[0].advice
    assert state_of(evaluate(folder, "Dataloader", max_threshold=400)) is State.FINE


# OverallSystemUsage and OverallFrameworkMetrics


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

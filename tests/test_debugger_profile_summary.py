"""What a report tells beyond its rules, against plain loops over the same spans."""

from dataclasses import replace

import numpy as np
import pytest
from profiles import EVAL, T0, TRAIN, Line, Scene, Span, end_job, write_system, write_timeline

from debugger.profile import summary as parts
from debugger.profile.facts import Facts
from debugger.profile.read import read_profile
from debugger.profile.summarize import summarize

SCENE = Scene(hosts=2, gpus=1, cores=2, seconds=60.0, start_up=5.0, steps_of_epoch=40, wait=0.1,
              slow_host=2.0)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return SCENE.write(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def profile(folder):
    return read_profile([folder])


@pytest.fixture(scope="module")
def told(profile):
    return summarize(profile)


def test_phases_of_the_job_follow_one_another_and_sum_to_100(profile, told):
    names = [phase.name for phase in told.phases]
    assert names == ["initialization", "training loop", "finalization"]
    assert sum(phase.percent for phase in told.phases) == pytest.approx(100)
    for one, other in zip(told.phases, told.phases[1:], strict=False):
        assert one.started_at + one.seconds == pytest.approx(other.started_at)
    steps = profile.events.phases == TRAIN
    first = profile.events.starts[steps].min()
    last = (profile.events.starts + profile.events.seconds)[steps].max()
    assert told.phases[1].started_at == first
    assert told.phases[1].seconds == pytest.approx(last - first)


def test_a_start_that_is_recorded_is_told_from_initialization(tmp_path):
    spans = [
        Span(phase="Decode", start=T0 + 4, seconds=3),
        *(Span(phase=TRAIN, start=T0 + 10 + n, seconds=1, step=n) for n in range(10)),
    ]
    write_timeline(tmp_path, "0-algo-1", spans)
    write_system(
        tmp_path,
        "algo-1",
        [Line(at=T0 + i, type="memory", name="MemoryUsedPercent", value=1) for i in (1, 25)],
    )
    found = {phase.name: phase.seconds for phase in summarize(read_profile([tmp_path])).phases}
    assert found == pytest.approx(
        {"start": 3, "initialization": 6, "training loop": 10, "finalization": 5}
    )


def test_shares_are_exclusive_and_sum_to_the_job_of_all_processes(profile, told):
    assert sum(share.percent for share in told.shares) == pytest.approx(100)
    assert sum(share.seconds for share in told.shares) == pytest.approx(2 * profile.seconds)
    assert [share.part for share in told.shares] == [
        part for part in parts.PARTS if part in {share.part for share in told.shares}
    ]
    events = profile.events
    found = {share.part: share.seconds for share in told.shares}
    for part, phase in (
        (parts.WAIT, "DataLoaderIter"),
        (parts.BACKWARD, "Backward(post-forward)"),
        (parts.EVALUATION, "Evaluate"),
        (parts.CHECKPOINTS, "Checkpoint"),
    ):
        assert found[part] == pytest.approx(events.seconds[events.phases == phase].sum(), rel=1e-3)


def test_what_lies_within_an_evaluation_is_evaluation(tmp_path):
    spans = [
        *(Span(phase=TRAIN, start=T0 + n, seconds=1, step=n) for n in range(4)),
        *(Span(phase="Forward", start=T0 + n, seconds=0.75, step=n) for n in range(4)),
        Span(phase="Evaluate", start=T0 + 4, seconds=2),
        Span(phase="DataLoaderIter", start=T0 + 4.5, seconds=1),
        Span(phase=EVAL, start=T0 + 4.5, seconds=1.5, step=0),
        *(Span(phase=TRAIN, start=T0 + 7 + n, seconds=1, step=4 + n) for n in range(3)),
        *(Span(phase="Forward", start=T0 + 7 + n, seconds=0.75, step=n) for n in range(3)),
    ]
    write_timeline(tmp_path, "0-algo-1", spans)
    told = summarize(read_profile([tmp_path]))
    assert {share.part: share.seconds for share in told.shares} == pytest.approx(
        {parts.FORWARD: 5.25, parts.REST: 1.75, parts.EVALUATION: 2, parts.BETWEEN: 1}
    )


def test_statistics_of_steps_are_numpys(profile, told):
    nodes = ("algo-1-26", "algo-2-27")
    expected = {(node, mode) for node in nodes for mode in ("TRAIN", "EVAL")}
    assert {(one.node, one.mode) for one in told.steps} == expected
    events = profile.events
    for one in told.steps:
        chosen = (events.phases == f"Step:ModeKeys.{one.mode}") & (events.nodes == one.node)
        seconds = events.seconds[chosen]
        assert one.seconds == pytest.approx(seconds, abs=2e-6)
        assert (one.mean, one.p50, one.p95, one.p99) == pytest.approx(
            (seconds.mean(), *np.quantile(seconds, [0.5, 0.95, 0.99])), abs=2e-6
        )
        assert one.numbers == tuple(events.steps[chosen])
    training = next(one for one in told.steps if (one.node, one.mode) == (nodes[0], "TRAIN"))
    assert sum(training.parts.values()) == pytest.approx(training.mean)
    waits = events.seconds[(events.phases == "DataLoaderIter") & (events.nodes == "algo-1-26")]
    assert training.parts[parts.WAIT] == pytest.approx(waits.mean(), rel=1e-4)
    assert training.wait_percent == pytest.approx(100 * waits.mean() / training.mean, rel=1e-4)
    assert told.num_steps == {"TRAIN": max(len(one.seconds) for one in told.steps
                                           if one.mode == "TRAIN"),
                              "EVAL": max(len(one.seconds) for one in told.steps
                                          if one.mode == "EVAL")}  # fmt: skip


def test_steps_that_are_forward_passes_alone_take_in_what_belongs_to_them(tmp_path):
    """smdebug's hook calls the forward pass a step: the wait stands before, backward behind."""
    spans = []
    for n in range(12):
        at = T0 + n
        spans += [
            Span(phase="DataLoaderIter", start=at, seconds=0.3),
            Span(phase=TRAIN, start=at + 0.3, seconds=0.2, step=n),
            Span(phase="Forward", start=at + 0.3, seconds=0.2),
            Span(phase="Backward(post-forward)", start=at + 0.5, seconds=0.15),
        ]
    spans.append(Span(phase="DataLoaderIter", start=T0 + 40, seconds=0.3))  # of nothing
    write_timeline(tmp_path, "26-algo-1", spans)
    (steps,) = summarize(read_profile([tmp_path])).steps
    assert steps.mean == pytest.approx(0.65)
    assert steps.parts == pytest.approx(
        {parts.WAIT: 0.3, parts.FORWARD: 0.2, parts.BACKWARD: 0.15, parts.REST: 0}, abs=1e-6
    )


def test_where_one_step_in_ten_was_looked_into_the_others_have_its_shares(tmp_path):
    spans = []
    for n in range(100):
        at, sparse = T0 + n * 0.001, {"one_in": 10}
        spans.append(Span(phase=TRAIN, start=at, seconds=0.001, step=n))
        if n % 10 == 0:
            spans.append(Span(phase="DataLoaderIter", start=at, seconds=0.0002, step=n,
                              arguments=sparse))  # fmt: skip
            spans.append(Span(phase="Forward", start=at + 0.0002, seconds=0.0005, step=n,
                              arguments=sparse))  # fmt: skip
    write_timeline(tmp_path, "0-algo-1", spans)
    (steps,) = summarize(read_profile([tmp_path])).steps
    expected = {parts.WAIT: 0.0002, parts.FORWARD: 0.0005, parts.REST: 0.0003}
    assert steps.parts == pytest.approx(expected, abs=2e-6)


def test_an_outlier_tells_which_part_was_longer_and_what_the_system_did(tmp_path):
    spans, lines = [], []
    for n in range(60):
        at, slow = T0 + n, n == 30
        spans += [
            Span(phase=TRAIN, start=at, seconds=0.9 if slow else 0.2, step=n),
            Span(phase="Forward", start=at, seconds=0.8 if slow else 0.1, step=n),
        ]
    for i in range(600):
        busy = 99.0 if 300 <= i < 310 else 40.0
        lines.append(Line(at=T0 + 0.1 * i, type="cpu", name="cpu0", dimension="CPUUtilization",
                          value=busy))  # fmt: skip
    write_timeline(tmp_path, "0-algo-1", spans)
    write_system(tmp_path, "algo-1", lines)
    told = summarize(read_profile([tmp_path]))
    (outlier,) = told.outliers
    assert (outlier.step, outlier.part, told.num_outliers) == (30, parts.FORWARD, 1)
    assert outlier.cause.startswith("forward took 800 ms instead of 100 ms")
    assert "the host's CPU was 99 % busy, usually 41 %: something else ran there" in outlier.cause
    assert told.lost_to_outliers == pytest.approx(0.7)
    assert outlier.cpu_percent == pytest.approx(99)


@pytest.mark.parametrize(
    ("phase", "words"),
    [("Checkpoint", "while a checkpoint was written"), ("Evaluate", "while an evaluation ran")],
)
def test_an_outlier_beside_something_else_says_what(tmp_path, phase, words):
    spans = [
        *(Span(phase=TRAIN, start=T0 + n, seconds=0.9 if n == 9 else 0.2, step=n)
          for n in range(40)),
        Span(phase=phase, start=T0 + 9.3, seconds=0.2),
    ]  # fmt: skip
    write_timeline(tmp_path, "0-algo-1", spans)
    (outlier,) = summarize(read_profile([tmp_path])).outliers
    assert words in outlier.cause


def test_gpu_and_cpu_are_correlated_as_numpy_does(folder, profile, told):
    assert [(one.host, one.gpu) for one in told.correlations] == [
        ("algo-1", "gpu0"), ("algo-2", "gpu0"),
    ]  # fmt: skip
    facts = Facts.of(profile)
    one = told.correlations[0]
    host = profile.system["algo-1"]
    gpu = host.of("GPUUtilization")["gpu0"]
    cores = host.of("CPUUtilization")
    busiest = np.maximum(cores["cpu0"].values, cores["cpu1"].values)
    start, end = facts.analysed
    kept = (gpu.times > start) & (gpu.times <= end)
    assert one.num_samples == kept.sum()
    assert one.coefficient == pytest.approx(np.corrcoef(gpu.values[kept], busiest[kept])[0, 1])
    quarters = (one.gpu_low_cpu_low, one.gpu_low_cpu_high, one.gpu_high_cpu_low,
                one.gpu_high_cpu_high)  # fmt: skip
    assert sum(quarters) == pytest.approx(100)


def test_data_loading_counts_workers_waits_and_starved_steps(profile, told):
    one = next(one for one in told.loading if one.node == "algo-1-26")
    events = profile.events
    waits = events.seconds[(events.phases == "DataLoaderIter") & (events.nodes == one.node)]
    assert (one.num_workers, one.cores, one.pin_memory) == (1, 2, True)
    assert one.wait_p95 == pytest.approx(np.quantile(waits, 0.95), rel=1e-4)
    assert one.batches == len(waits) == len(one.wait_seconds)
    assert one.starved_percent == 100.0
    assert told.loading[0].wait_percent >= told.loading[1].wait_percent  # the worst one first


def test_hosts_stand_side_by_side(profile, told):
    assert [host.host for host in told.hosts] == ["algo-1", "algo-2"]
    first, second = told.hosts
    assert told.slow_host == "algo-2"
    assert first.slower_percent == 0
    assert second.slower_percent == pytest.approx(100 * (second.own_mean / first.own_mean - 1))
    series = profile.system["algo-1"].of("ReceiveBytesPerSecond")["ReceiveBytesPerSecond"]
    assert first.received_bytes == pytest.approx(series.values.sum() * 0.5, rel=1e-6)
    cores = profile.system["algo-1"].of("CPUUtilization").values()
    assert first.cpu_mean == pytest.approx(np.mean([core.values for core in cores]))
    assert (first.cores, first.gpus) == (2, 1)


def test_one_host_has_no_slow_one(tmp_path):
    told = summarize(read_profile([replace(SCENE, hosts=1).write(tmp_path)]))
    assert told.slow_host == ""
    assert told.hosts[0].slower_percent is None


def test_metrics_alone_are_one_phase_and_nothing_a_summary_of_nothing(tmp_path):
    write_system(
        tmp_path,
        "algo-1",
        [Line(at=T0 + i, type="cpu", name="cpu0", dimension="CPUUtilization", value=50)
         for i in range(10)],
    )  # fmt: skip
    end_job(tmp_path)
    told = summarize(read_profile([tmp_path]))
    assert [(phase.name, phase.percent) for phase in told.phases] == [("job", 100.0)]
    assert (told.shares, told.steps, told.loading, told.outliers) == ((), (), (), ())
    nothing = summarize(read_profile([]))
    assert (nothing.phases, nothing.hosts) == ((), ())

"""Real training runs with a cause to find: the rule that names it fires, in words that say why."""

import os
import signal
import time
from pathlib import Path

import pytest
from hosts import lay_out_hosts, running
from profiled_fit import SLOW_LOADING, profiled_fit, write_photographs
from training import WAIT_SECONDS

from contract.files import write_json
from contract.opt_ml import PROFILER_NAME, OptMl
from contract.profiler_config import ProfilerConfig
from contract.rules import RuleSpec
from debugger.profile.evaluate import evaluate_profile
from debugger.profile.headlines import headlines
from debugger.profile.read import read_profile
from debugger.profile.summarize import summarize

REPORT = RuleSpec(name="ProfilerReport", rule="ProfilerReport")
# A small network that learns its last stage only: making a batch costs more than learning it.
LOADING = {"image_size": "32", "batch_size": "32", "epochs": "1", "unfreeze": "last-stage"}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"), 320)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("few"), 48)


def judged(profile):
    results = evaluate_profile(profile, REPORT)
    return {result.rule: result for result in results}, headlines(profile, results)


def fired(results):
    return {
        rule
        for rule, result in results.items()
        if result.status == "IssuesFound" and rule != "ProfilerReport"
    }


def needs_cores(num):
    found = len(os.sched_getaffinity(0))
    return pytest.mark.skipif(found < num, reason=f"{found} cores, the cause needs {num}")


def test_without_a_loader_worker_the_report_asks_for_some(photographs, tmp_path):
    profile = profiled_fit(photographs, tmp_path, num_workers="0", **LOADING, **SLOW_LOADING)
    results, (cause, change, gain) = judged(profile)
    assert "Dataloader" in fired(results)
    assert "no loader worker" in cause
    assert "data wait is" in cause
    assert "set num-workers from 0 to" in change
    assert "of the job" in gain
    details = results["Dataloader"].report["Details"]
    assert details["num_workers"] == 0
    assert details["processes"]["algo-1-0"]["wait_percent"] > 30


@needs_cores(2)
def test_with_one_worker_too_few_the_report_says_so(photographs, tmp_path):
    """On a machine that is busy with other things a second one would not help: then the CPU is
    what is missing."""
    profile = profiled_fit(photographs, tmp_path, num_workers="1", **LOADING, **SLOW_LOADING)
    results, (cause, _, _) = judged(profile)
    assert fired(results) & {"Dataloader", "CPUBottleneck"}
    assert "1 loader worker" in cause
    assert "data wait is" in cause
    (loading,) = summarize(profile).loading
    assert (loading.num_workers, loading.num_seen) == (1, 1)
    assert loading.load_p50 > 0.005


def test_with_all_workers_that_fit_the_cpu_is_the_bottleneck(photographs, tmp_path):
    cores = len(os.sched_getaffinity(0))
    if cores > 2:
        pytest.skip(f"{cores} cores make these batches as fast as they are needed")
    profile = profiled_fit(photographs, tmp_path, num_workers="2", **LOADING, **SLOW_LOADING)
    results, (cause, change, _) = judged(profile)
    assert "CPUBottleneck" in fired(results)
    assert "Dataloader" not in fired(results)  # more would not help
    assert "2 loader workers cannot make batches faster" in cause
    assert "are all that fit" in change


def test_a_run_that_is_fed_well_has_nothing_to_change(photographs, tmp_path):
    profile = profiled_fit(photographs, tmp_path, num_workers="0", **LOADING)
    results, (cause, _, _) = judged(profile)
    assert not fired(results) & {"Dataloader", "CPUBottleneck", "IOBottleneck", "BatchSize"}
    assert results["LowGPUUtilization"].details.startswith("no such metric:")
    if not fired(results):
        assert cause.startswith("Nothing to change was found")
    shares = summarize(profile).shares
    assert sum(share.percent for share in shares) == pytest.approx(100)


@pytest.mark.parametrize(("size", "fires"), [("1", True), ("32", False)])
def test_a_small_batch_is_found_and_a_large_one_is_not(few, tmp_path, size, fires):
    profile = profiled_fit(few, tmp_path, batch_size=size, image_size="32", epochs="3")
    results, (cause, change, _) = judged(profile)
    assert ("BatchSize" in fired(results)) == fires
    if fires:
        assert "in a batch of 1 and" in cause
        assert "in the evaluation's batches of 32" in cause
        assert "raise batch-size from 1 to 32" in change
    (steps,) = [one for one in summarize(profile).steps if one.mode == "TRAIN"]
    assert steps.images_per_second == pytest.approx(96 * 3 / steps.seconds.sum())


def test_a_slow_host_of_two_is_named(few, tmp_path):
    """The second one gets two fifths of its time, as a container with too little CPU would. Both
    are killed in the middle: what was recorded until then is enough."""
    channels = {name: few / name for name in ("train", "validation")}
    changes = {"unfreeze": "all", "batch_size": "32", "epochs": "200"}
    bases = lay_out_hosts(tmp_path, [channels, channels], early_stopping_patience="0", **changes)
    for base in bases:
        config = ProfilerConfig(interval_ms=100).to_json()
        write_json(OptMl(base).config_dir / PROFILER_NAME, config)
    folders = [OptMl(base).profiler_dir for base in bases]
    with running(bases, {"KENNEL_CACHE_DIR": "off"}) as hosts:
        hold_back(hosts[1].process, folders)
    for folder in folders:  # the agents complete what the killed processes left
        await_file(folder / "system/training_job_end.ts")
    profile = read_profile(folders)
    assert profile.has_ended
    assert list(profile.system) == ["algo-1", "algo-2"]  # smdebug knows no other names
    results, (cause, change, gain) = judged(profile)
    assert "LoadBalancing" in fired(results)
    assert cause.startswith("algo-2 is the slow host")
    assert "look at algo-2" in change
    assert "of the job" in gain
    summary = summarize(profile)
    assert summary.slow_host == "algo-2"
    slower = {host.host: host.slower_percent for host in summary.hosts}
    assert slower["algo-1"] == 0
    assert slower["algo-2"] > 25


def hold_back(process, folders: list[Path]) -> None:
    """Stop it and let it go, from the first training step on, until both have done enough."""
    deadline = time.monotonic() + WAIT_SECONDS
    while min(map(num_steps, folders)) < 40:
        assert process.poll() is None
        assert time.monotonic() < deadline
        if not num_steps(folders[1]):
            time.sleep(0.05)
            continue
        for _ in range(10):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.03)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.02)


def num_steps(folder: Path) -> int:
    """Training steps in its timeline so far. They are written once a second."""
    found = [*(folder / "framework").rglob("*_pythontimeline.json*")]
    return sum(path.read_bytes().count(b'"name":"Step:ModeKeys.TRAIN","pid"') for path in found)


def await_file(path: Path) -> None:
    """Wait until it is there."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)

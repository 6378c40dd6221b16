"""The benchmark of saving tensors: what it compares, and what it prints."""

import time

from benchmarks.debugger import HOOKS, OFF, call_seconds, calls_a_step, measure
from benchmarks.debugger_work import head


def test_every_hook_is_compared_with_nobody_looking_on(tmp_path):
    bars = list(measure(head(tmp_path), tmp_path / "runs", seconds=0.05, rounds=1))
    assert [bar.name for bar in bars] == [
        "debugger-default-head",
        "debugger-auto-head",
        "debugger-off-head",
    ]
    assert [bar.target for bar in bars] == [1.05, 1.05, 1.01]
    assert all(bar.at_most and bar.value > 0 for bar in bars)
    assert list((tmp_path / "runs" / "auto-0").rglob("*.tfevents"))
    assert not (tmp_path / "runs" / f"{OFF}-0").exists()


def test_runs_begin_with_the_same_weights(tmp_path):
    work = head(tmp_path)
    ends = []
    for hook in HOOKS.values():
        work.run(1, work.watch(hook, tmp_path / "tensors"))
        ends.append(work.task.module.weight.detach().clone())
    assert all(end.equal(ends[0]) for end in ends)


def test_what_nobody_hears_is_counted_and_timed(tmp_path):
    started = time.perf_counter()
    assert calls_a_step(head(tmp_path)) >= 5  # spans, and the question whether a step is saved
    assert 0 < call_seconds() < time.perf_counter() - started

"""A whole job that is measured: what its files hold, read by us and by smdebug."""

import itertools
from collections import Counter
from pathlib import Path

import pytest
from profiled import (
    STEPS,
    WITHIN,
    agent_facts,
    all_events,
    assert_complete,
    lay_out_profiled,
    of_phase,
    place_of,
    run_profiled,
    run_trace,
    ticks_of,
)
from profiles import EVAL, TRAIN
from smdebug_profile import as_smdebug_reads
from training import COUNTS

from contract.profiler_config import DATALOADER, DETAILED, PYTHON, ProfilerConfig, Window

EPOCHS = 2
WINDOWS = {
    DETAILED: Window(start_step=3, num_steps=2),
    PYTHON: Window(start_step=1, num_steps=1),
    DATALOADER: Window(start_step=0, num_steps=2, options={"MetricsRegex": ".*"}),
}


@pytest.fixture(scope="module")
def finetuned(pictures, tmp_path_factory) -> Path:
    """A network that learned with two loader workers and both kinds of windows."""
    base = tmp_path_factory.mktemp("finetuned")
    config = ProfilerConfig(interval_ms=100, windows=WINDOWS)
    changes = {"unfreeze": "all", "num_workers": "2", "epochs": str(EPOCHS)}
    code, output = run_profiled(lay_out_profiled(base, pictures, config, **changes))
    assert code == 0, output
    assert "switched off" not in output
    return base


@pytest.fixture(scope="module")
def seen(finetuned, tmp_path_factory) -> dict:
    """The same, in the eyes of smdebug."""
    return as_smdebug_reads(place_of(finetuned).folder, tmp_path_factory.mktemp("seen"))


def test_every_step_has_its_phases_once(finetuned):
    events = all_events(place_of(finetuned))
    for phase in (TRAIN, *WITHIN):
        assert [event.step for event in of_phase(events, phase)] == list(range(EPOCHS * STEPS))
    evaluations = EPOCHS + 1  # and the test split; each is one batch
    assert [event.step for event in of_phase(events, EVAL)] == list(range(evaluations))
    counts = Counter(event.phase for event in events)
    assert counts["Epoch"] == counts["Checkpoint"] == EPOCHS
    assert counts["DataLoaderIterInitialize"] == EPOCHS
    assert counts["Evaluate"] == evaluations
    assert counts["Decode"] == len(COUNTS)


def test_a_step_lasts_from_the_wait_for_its_batch_to_its_update(finetuned):
    events = all_events(place_of(finetuned))
    for number, step in enumerate(of_phase(events, TRAIN)):
        parts = [
            event for event in events if event.step == number and event.phase in WITHIN
        ]  # in the order of their starts
        assert [event.phase for event in parts] == list(WITHIN)
        assert parts[0].start_us == step.start_us
        assert parts[-1].end_us <= step.end_us
        assert all(one.end_us <= two.start_us for one, two in itertools.pairwise(parts))
    for epoch, one in enumerate(of_phase(events, "Epoch")):
        inside = [event for event in of_phase(events, TRAIN) if one.start_us <= event.start_us]
        assert inside[0].step == epoch * STEPS
        assert one.args["epoch"] == epoch + 1


def test_workers_make_batches_in_processes_of_their_own(finetuned):
    events = all_events(place_of(finetuned))
    workers = of_phase(events, "DataLoaderWorker")
    (main,) = {event.args["pid"] for event in of_phase(events, TRAIN)}
    pids = {event.args["pid"] for event in workers}
    assert len(pids) == 2  # the same ones in every epoch
    assert main not in pids
    workers.sort(key=lambda event: event.args["batch"])
    assert [event.args["batch"] for event in workers] == list(range(EPOCHS * STEPS))
    for worker, wait in zip(workers, of_phase(events, "DataLoaderIter"), strict=True):
        assert worker.end_us <= wait.end_us  # made before it came
    start = of_phase(events, "DataLoaderIterInitialize")[0]
    assert (start.args["num_workers"], start.args["pin_memory"]) == (2, False)


def test_pictures_are_counted_where_they_are_decoded(finetuned):
    decoded = of_phase(all_events(place_of(finetuned)), "Decode")
    expected = {split: count * 3 for split, count in COUNTS.items()}
    assert {event.args["split"]: event.args["num_images"] for event in decoded} == expected
    assert all(event.step == -2 for event in decoded if event.args["split"] != "test")


def test_smdebug_reads_every_line_and_every_span(finetuned, seen):
    place = place_of(finetuned)
    lines = [line for lines in ticks_of(place).values() for line in lines]
    assert len(seen["lines"]) == len(lines)
    assert {tuple(line[:4]) for line in seen["lines"]} == {
        (line["NodeId"], line["Type"], line["Name"], line["Dimension"]) for line in lines
    }
    ours = [
        (event.phase, event.name, event.start_us, event.end_us, event.args["pid"])
        for event in all_events(place)
    ]
    assert sorted(map(tuple, (one[:5] for one in seen["events"]))) == sorted(ours)
    assert {one[5] for one in seen["events"]} == {"algo-1-0"}
    assert {*WITHIN, TRAIN} <= set(seen["of_step_1"])


def test_smdebugs_analyses_work_on_all_of_it(finetuned, seen):
    events = all_events(place_of(finetuned))
    steps = of_phase(events, TRAIN)
    mean = sum(event.end_us - event.start_us for event in steps) / len(steps)
    assert seen["step_means"][TRAIN] == pytest.approx(mean)
    assert seen["frame"][TRAIN] == seen["loader_calls"] == EPOCHS * STEPS
    assert seen["loader_starts"] == ["_MultiProcessingDataLoaderIter.__init__"] * EPOCHS
    assert seen["merged"] == len(events)
    times = sorted(ticks_of(place_of(finetuned)))
    assert seen["job_seconds"] == pytest.approx(times[-1] - times[0], abs=0.01)


def test_a_window_of_operators_holds_what_its_steps_computed_and_nothing_else(finetuned):
    events = all_events(place_of(finetuned))
    operators = of_phase(events, "cpu_functions")
    assert {event.step for event in operators} == {3, 4}
    by_step = {
        step: Counter(event.name for event in operators if event.step == step) for step in (3, 4)
    }
    assert by_step[3]["aten::conv2d"] == by_step[4]["aten::conv2d"] == 26  # of a squeezenet1_1
    steps = {event.step: event for event in of_phase(events, TRAIN)}
    forward = {event.step: event for event in of_phase(events, "Forward")}
    for event in operators:
        assert event.start_us >= steps[event.step].start_us - 1000
        assert event.args["device"] == "cpu"
    convolutions = [event for event in operators if event.name == "aten::conv2d"]
    for event in convolutions:  # two clocks: within a millisecond
        around = forward[event.step]
        assert around.start_us - 1000 <= event.start_us <= event.end_us <= around.end_us + 1000


def test_a_window_of_python_holds_the_functions_of_its_step(seen):
    assert {"train_step", "_update", "backward"} <= set(seen["functions"])
    assert "export_bundle" not in seen["functions"]


def test_the_trace_of_the_run_names_its_rows(finetuned):
    place = place_of(finetuned)
    trace = run_trace(place)
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(spans) == len(all_events(place)) == trace["otherData"]["spans"]
    names = {
        (event["name"], event["args"]["name"])
        for event in trace["traceEvents"]
        if event["ph"] == "M" and "name" in event["args"]
    }
    rows = ("epochs", "steps", "phases of a step", "around the steps")
    assert {("thread_name", row) for row in rows} <= names
    assert ("process_name", "algo-1 process 0") in names
    assert ("process_name", "algo-1 process 0: loader worker") in names
    counters = {event["name"] for event in trace["traceEvents"] if event["ph"] == "C"}
    assert {"CPU %", "MemoryUsedPercent"} <= counters


def test_what_shares_a_row_of_the_trace_lies_within_or_apart(finetuned):
    """Perfetto leaves out what only overlaps."""
    rows: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event in run_trace(place_of(finetuned))["traceEvents"]:
        if event["ph"] == "X":
            ends = event["ts"], event["ts"] + event["dur"]
            rows.setdefault((event["pid"], event["tid"]), []).append(ends)
    for spans in rows.values():
        around: list[int] = []
        for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while around and around[-1] <= start:
                around.pop()
            assert not around or end <= around[-1]
            around.append(end)


def test_the_job_is_measured_to_its_last_second_and_so_is_measuring(finetuned):
    place = place_of(finetuned)
    assert_complete(place)
    times, events = sorted(ticks_of(place)), all_events(place)
    assert times[-1] > events[-1].end_us / 1e6
    facts = agent_facts(place)
    assert facts["ticks"] == len(times)
    assert facts["system_bytes"] == sum(path.stat().st_size for path in place.system_files())
    assert facts["timeline_bytes"] == sum(path.stat().st_size for path in place.closed_timelines())
    assert 0 < facts["cpu_share"] < 1

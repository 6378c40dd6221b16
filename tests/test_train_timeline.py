"""Spans of a process: which there are, how they lie in files, and that they end no job."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from profiled import all_events, events_of, of_phase, run_trace
from training import REPOSITORY, WAIT_SECONDS

from contract.errors import InterruptedJobError
from contract.profiler_config import Window
from train.batches import Batch
from train.contained import Contained
from train.operator_windows import OperatorWindows
from train.profile_end import finish_profile
from train.profile_place import ProfilePlace
from train.python_profile import PythonProfile
from train.run_trace import write_run_trace
from train.timeline import RunTimeline
from train.trace_file import NO_STEP, Span, TraceFile, complete, read_events
from train.watch import Phase, Watch

SECOND_NS = 1_000_000_000
TRAIN = "Step:ModeKeys.TRAIN"


@pytest.fixture
def place(tmp_path) -> ProfilePlace:
    return ProfilePlace(folder=tmp_path / "profiler", node="algo-1")


def timeline_in(place: ProfilePlace, *lenses, **settings) -> RunTimeline:
    return RunTimeline(TraceFile(place, 0, **settings), OperatorWindows(list(lenses)))


def batches(count: int) -> Iterator[Batch]:
    """As many as are asked for; what is in them does not matter."""
    empty = torch.empty(0)
    yield from [Batch(empty, empty, empty, empty)] * count


def spans(count: int, phase: str = "Forward", *, ago_seconds: float = 0) -> list[Span]:
    """Back to back, a microsecond each, the last just over."""
    end = time.perf_counter_ns() - int(ago_seconds * SECOND_NS)
    starts = [end - 1000 * (count - index) for index in range(count)]
    return [(phase, start, start + 1000, step, None) for step, start in enumerate(starts)]


def test_a_file_begins_with_its_time_and_names_phases_before_their_spans(place):
    file = TraceFile(place, 3)
    facts = {"name": 'a "name" 100 %', "split": "train"}
    file.write([*spans(2), *spans(1, "Copy"), ("Copy", *spans(1)[0][1:3], 7, facts)])
    file.close()
    (path,) = place.closed_timelines()
    first, *rest = json.loads(path.read_text())
    assert first["name"] == "process_name"
    assert abs(first["args"]["start_time_since_epoch_in_micros"] / 1e6 - time.time()) < 60
    assert [event["args"].get("name") for event in rest if event["name"] == "process_name"] == [
        "Forward",
        "Copy",
    ]
    assert {event["pid"] for event in rest if event["ph"] == "X"} == {1, 2}
    *_, last = events_of(path)
    assert (last.name, last.step, last.args["split"]) == (facts["name"], 7, "train")
    assert last.args["pid"] == os.getpid()
    assert path.parent.name == time.strftime("%Y%m%d%H", time.gmtime(last.end_us / 1e6))
    end_us, process, kind = path.name.split("_")
    assert (process, kind) == ("3-algo-1", "pythontimeline.json")
    assert int(end_us) == max(event.end_us for event in events_of(path))


def test_times_are_those_of_the_wall_clock(place):
    timeline = timeline_in(place)
    before = time.time()
    with timeline.span(Phase.CHECKPOINT):
        time.sleep(0.02)
    after = time.time()
    timeline.close()
    (event,) = all_events(place)
    assert before - 0.001 <= event.start_us / 1e6 <= event.end_us / 1e6 <= after + 0.001
    assert event.end_us - event.start_us >= 20_000


@pytest.mark.parametrize(
    ("settings", "ages", "files"),
    [
        ({"rotate_seconds": 0.0}, (0.0,) * 5, 5),
        ({}, (2 * 3600.0, 3600.0, 0.0), 3),  # each of another hour
        ({}, (0.0,) * 5, 1),
    ],
)
def test_a_new_file_begins_when_one_is_large_or_old_or_of_another_hour(
    place, settings, ages, files
):
    file = TraceFile(place, 0, **settings)
    for age in ages:
        file.write(spans(4, ago_seconds=age))
        time.sleep(0.001)
    file.close()
    paths = place.closed_timelines()
    assert len(paths) == files
    assert len({path.parent.name for path in paths}) == (3 if len(ages) == 3 else 1)
    assert [event.step for event in all_events(place)] == [0, 1, 2, 3] * len(ages)
    assert place.open_timelines() == []


def test_large_files_hold_no_more_than_they_may_and_one_span(place):
    file = TraceFile(place, 0, rotate_bytes=5000)
    file.write(spans(1000))
    file.close()
    sizes = [path.stat().st_size for path in place.closed_timelines()]
    assert len(sizes) > 10
    assert max(sizes) < 5200
    assert [event.step for event in all_events(place)] == list(range(1000))


def test_two_files_that_end_together_have_two_names(place):
    for rank in (0, 0):
        file = TraceFile(place, rank)
        file.write([("Copy", 10**9, 2 * 10**9, 0, None)])
        file.close()
    assert len(place.closed_timelines()) == 2


def test_a_step_is_what_the_loop_does_with_a_batch_and_the_wait_for_it(place):
    timeline = timeline_in(place)
    watch = Watch(timeline=timeline)
    for number, _ in enumerate(watch.steps(batches(3), 10)):
        with watch.span(Phase.FORWARD):
            time.sleep(0.01 * (number == 1))
        with watch.span(Phase.EVALUATION_STEP):
            pass
    with watch.span(Phase.CHECKPOINT):
        pass
    watch.close()
    events = all_events(place)
    for phase in (TRAIN, "DataLoaderIter", "Forward"):
        assert [event.step for event in of_phase(events, phase)] == [10, 11, 12]
    assert [event.step for event in of_phase(events, "Step:ModeKeys.EVAL")] == [0, 1, 2]
    assert of_phase(events, "Checkpoint")[0].step == 12
    for step, forward in zip(of_phase(events, TRAIN), of_phase(events, "Forward"), strict=True):
        rounding_us = 5
        assert step.start_us <= forward.start_us + rounding_us
        assert forward.end_us <= step.end_us + rounding_us
    slept = of_phase(events, TRAIN)[1]
    assert slept.end_us - slept.start_us >= 10_000


def test_a_loop_that_breaks_or_fails_ends_its_step(place):
    timeline = timeline_in(place)
    for _ in timeline.steps(batches(5), 0):
        break

    def fail() -> None:
        for _ in timeline.steps(batches(5), 1):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    timeline.close()
    assert [event.step for event in of_phase(all_events(place), TRAIN)] == [0, 1]


def test_of_very_short_steps_one_in_ten_is_looked_into_and_says_so(place):
    timeline = timeline_in(place)
    for _ in timeline.steps(batches(300), 0):
        with timeline.span(Phase.FORWARD):
            pass
    timeline.close()
    events = all_events(place)
    assert [event.step for event in of_phase(events, TRAIN)] == list(range(300))
    for phase in ("DataLoaderIter", "Forward"):
        within = of_phase(events, phase)
        assert [event.step for event in within] == [*range(100), *range(100, 300, 10)]
        assert {event.args.get("one_in") for event in within[100:]} == {10}


def test_an_error_is_one_line_and_training_goes_on(place, caplog):
    place.folder.mkdir()
    place.framework.write_text("a file in the way")
    timeline = timeline_in(place)
    with caplog.at_level(logging.INFO, "train"):
        seen = 0
        for _ in timeline.steps(batches(4), 0):
            with timeline.span(Phase.FORWARD):
                seen += 1
            timeline._flush()  # as once a second
        timeline.close()
        timeline.close()
    assert seen == 4
    assert [record.message.split(": ")[1] for record in caplog.records] == [
        "the timeline is switched off, the job goes on"
    ]


def test_a_signal_passes_through_what_is_contained():
    def work() -> None:
        raise InterruptedJobError("told to stop")

    contained = Contained("a thing")
    with pytest.raises(InterruptedJobError):
        contained.run(work, None)
    assert not contained.is_off


def test_an_error_of_a_window_ends_the_window_only(place, caplog):
    class Broken:
        is_full = must_pause = False

        def begin_step(self, step: int) -> None:
            raise RuntimeError(f"no profiler here in step {step}")

        def end_step(self) -> None:
            raise AssertionError("not after an error")

        pause = end_step

    timeline = timeline_in(place, (Window(start_step=0, num_steps=2), Broken()))
    with caplog.at_level(logging.INFO, "train"):
        assert len(list(timeline.steps(batches(3), 0))) == 3
    timeline.close()
    assert [event.step for event in of_phase(all_events(place), TRAIN)] == [0, 1, 2]
    (record,) = caplog.records
    assert "RuntimeError: no profiler here in step 0" in record.message


def test_windows_may_be_given_in_time(place):
    now = int(time.time())
    for start, seconds, files in ((now - 10, 600.0, 2), (now - 10, 5.0, 0), (now + 600, 60.0, 0)):
        window = Window(start_unix_time=start, duration_seconds=seconds)
        profile = PythonProfile(place, 0, window)
        list(timeline_in(place, (window, profile)).steps(batches(2), 0))
        found = list(place.framework.rglob("python_stats"))
        assert len(found) == files
        place.clear()
        assert not list(place.framework.rglob("python_stats"))


WRITE_AND_DIE = """
import os, signal, sys, time
from pathlib import Path
from train.profile_place import ProfilePlace
from train.trace_file import TraceFile
place = ProfilePlace(folder=Path(sys.argv[1]), node="algo-1")
file = TraceFile(place, 0)
now = time.perf_counter_ns()
file.write([("Copy", now + step * 1000, now + step * 1000 + 900, step, None) for step in range(50)])
print("written", flush=True)
if sys.argv[2] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.readline()
file.close()
"""


def writer(place: ProfilePlace, what: str) -> "subprocess.Popen[bytes]":
    """A process that has a timeline open."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_DIE, str(place.folder), what],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    return process


def test_the_timeline_of_a_process_that_was_killed_is_completed(place):
    with writer(place, "die") as process:
        process.wait(timeout=WAIT_SECONDS)
        (path,) = place.open_timelines()
        text = path.read_bytes()
        path.write_bytes(text[:-20])  # the last line was cut off
        finish_profile(place)
    assert place.open_timelines() == []
    assert [event.step for event in all_events(place)] == list(range(49))
    assert (place.framework / "training_job_end.ts").exists()


def test_the_timeline_of_a_process_that_lives_is_left_alone(place):
    with writer(place, "wait") as process:
        finish_profile(place, wait_seconds=0.1)
        assert len(place.open_timelines()) == 1
        assert place.closed_timelines() == []
        process.communicate(b"go on\n", timeout=WAIT_SECONDS)
    assert [event.step for event in all_events(place)] == list(range(50))


def test_a_file_without_a_span_is_taken_away(place):
    place.framework.mkdir(parents=True)
    path = place.framework / "0-algo-1_pythontimeline.json.tmp"
    path.write_text('[\n{"name":"process_name","ph":"M","pid":0,"args":{}},\n')
    assert complete(path) is None
    assert not path.exists()


def test_the_trace_keeps_the_first_spans_and_says_how_many_are_left_out(place):
    file = TraceFile(place, 0, rotate_bytes=2000)
    file.write(spans(60))
    file.close()
    assert write_run_trace(place, most_spans=25) == {"spans": 25, "spans_left_out": 35}
    trace = run_trace(place)
    kept = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert [event["args"]["step_num"] for event in kept] == [str(step) for step in range(25)]
    (note,) = [event["name"] for event in trace["traceEvents"] if event["ph"] == "i"]
    assert note == "the first 25 spans; 35 more are in pevents"


def test_a_new_run_takes_away_what_this_host_left_and_nothing_else(place):
    for node in ("algo-1", "algo-11"):
        one = ProfilePlace(folder=place.folder, node=node)
        file = TraceFile(one, 0)
        file.write(spans(1))
        file.close()
        file.write(spans(1))
        file.give_up()
    finish_profile(place, wait_seconds=0)
    place.clear()
    left = [path for path in place.folder.rglob("*") if path.is_file()]
    assert len(left) == 2
    assert all("algo-11" in path.name for path in left)
    assert not list(Path(place.framework).glob("*.ts"))


def test_spans_outside_of_steps_have_a_number_that_smdebug_takes_for_one():
    """PandasFrameAnalysis looks up spans of step -1 among the steps, and fails."""
    assert NO_STEP < -1


def test_events_are_read_line_by_line_also_from_an_open_file(place):
    file = TraceFile(place, 0)
    file.write(spans(3))
    (path,) = place.open_timelines()
    assert sum(event["ph"] == "X" for event in read_events(path)) == 3
    file.close()

"""Spans of a process: what a step is, when it is looked into, and that they end no job."""

import logging
import time
from collections.abc import Iterator

import pytest
import torch
from profiled import all_events, of_phase
from profiles import TRAIN

from contract.errors import InterruptedJobError
from contract.profiler_config import Window
from train.batches import Batch
from train.contained import Contained
from train.operator_windows import OperatorWindows
from train.profile_place import ProfilePlace
from train.python_profile import PythonProfile
from train.timeline import RunTimeline
from train.trace_file import NO_STEP, TraceFile
from train.watch import Phase, Watch


@pytest.fixture
def place(tmp_path) -> ProfilePlace:
    return ProfilePlace(folder=tmp_path / "profiler", node="algo-1")


def timeline_in(place: ProfilePlace, *lenses, **settings) -> RunTimeline:
    return RunTimeline(TraceFile(place, 0, **settings), OperatorWindows(list(lenses)))


def batches(count: int) -> Iterator[Batch]:
    """As many as are asked for; what is in them does not matter."""
    empty = torch.empty(0)
    yield from [Batch(empty, empty, empty, empty)] * count


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


def test_spans_outside_of_steps_have_a_number_that_smdebug_takes_for_one():
    """PandasFrameAnalysis looks up spans of step -1 among the steps, and fails."""
    assert NO_STEP < -1

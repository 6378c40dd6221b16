"""The files of spans: how they begin, when another does, and what becomes of those left open."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from profiled import all_events, events_of, run_trace
from training import REPOSITORY, WAIT_SECONDS

from train.profile_end import finish_profile
from train.profile_place import ProfilePlace
from train.run_trace import write_run_trace
from train.trace_file import Span, TraceFile, complete, read_events

SECOND_NS = 1_000_000_000


@pytest.fixture
def place(tmp_path) -> ProfilePlace:
    return ProfilePlace(folder=tmp_path / "profiler", node="algo-1")


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


def test_events_are_read_line_by_line_also_from_an_open_file(place):
    file = TraceFile(place, 0)
    file.write(spans(3))
    (path,) = place.open_timelines()
    assert sum(event["ph"] == "X" for event in read_events(path)) == 3
    file.close()


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

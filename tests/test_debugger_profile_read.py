"""Reading profiler folders; smdebug's own readers and writer are the oracles."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from profiles import T0, TRAIN, Line, Scene, Span, end_job, write_system, write_timeline

from debugger.profile.data import CPU, GPU_MEMORY, MEMORY, NETWORK
from debugger.profile.read import find_profiler_folders, read_profile
from debugger.profile.timeline_files import host_of

SCENE = Scene(hosts=2, gpus=1, cores=2, seconds=150.0, steps_of_epoch=40)

# smdebug lives in a process of its own: importing it changes how this one imports and logs.
READ_WITH_SMDEBUG = """
import json, sys
from smdebug.profiler.algorithm_metrics_reader import LocalAlgorithmMetricsReader
from smdebug.profiler.analysis.utils.profiler_data_to_pandas import PandasFrame
from smdebug.profiler.system_metrics_reader import LocalSystemMetricsReader
from smdebug.profiler.utils import TimeUnits
folder, out, start, end = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
lines = LocalSystemMetricsReader(folder).get_events(start, end, unit=TimeUnits.SECONDS)
events = LocalAlgorithmMetricsReader(folder).get_events(start, end, unit=TimeUnits.SECONDS)
frame = PandasFrame(folder, use_in_memory_cache=False).get_all_framework_metrics()
found = {
    "lines": [[e.node_id, e.name, e.dimension, e.timestamp, e.value] for e in lines],
    "events": [[round(e.start_time), round(e.duration), e.event_phase, e.event_name, e.node_id,
                e.pid] for e in events],
    "frame": frame.groupby("framework_metric").size().to_dict(),
    "steps": sorted(int(step) for step in frame[frame.framework_metric == sys.argv[5]].step),
}
json.dump(found, open(out, "w"))
"""

# Prints what our reader sees while smdebug's writer has the file open, and once it is closed.
WRITE_WITH_SMDEBUG = """
import json, sys
from smdebug.core.tfevent.timeline_file_writer import TimelineFileWriter
from smdebug.profiler.profiler_config_parser import ProfilerConfigParser
from pathlib import Path
from debugger.profile.read import read_profile
folder, phase, start, out = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
parser = ProfilerConfigParser()
parser.load_config()
writer = TimelineFileWriter(parser)
for step in range(3):
    writer.write_trace_events(
        timestamp=start + step, duration=0.25, training_phase=phase, op_name=phase,
        step_num=str(step), pid=77)
writer.flush()
def seen():
    profile = read_profile([folder])
    e = profile.events
    return [e.steps.tolist(), e.starts.tolist(), e.phases.tolist(), e.pids.tolist(), profile.notes]
growing = seen()
writer.close()
json.dump([growing, seen()], open(out, "w"))
"""


def run(*words, **variables):
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": root, **variables}
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return SCENE.write(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def theirs(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("smdebug") / "found.json"
    words = ["-c", READ_WITH_SMDEBUG, str(folder), str(out), str(T0 - 60), str(T0 + 600), TRAIN]
    run(*words)
    return json.loads(out.read_text())


def test_metrics_are_those_that_smdebug_reads(folder, theirs):
    profile = read_profile([folder])
    assert {line[0] for line in theirs["lines"]} == set(profile.system) == {"algo-1", "algo-2"}
    for node, metric, name in (
        ("algo-1", CPU, "cpu1"),
        ("algo-2", GPU_MEMORY, "gpu0"),
        ("algo-2", MEMORY, MEMORY),
        ("algo-1", NETWORK[0], NETWORK[0]),
    ):
        expected = sorted(
            (at, value)
            for their_node, their_name, dimension, at, value in theirs["lines"]
            if (their_node, their_name) == (node, name) and dimension in (metric, "", "Algorithm")
        )
        series = profile.system[node].of(metric)[name]
        assert list(zip(series.times.tolist(), series.values.tolist(), strict=True)) == expected
        assert len(expected) == 300


def test_events_are_those_that_smdebug_reads(folder, theirs):
    events = read_profile([folder]).events
    ours = zip(
        np.round(events.starts * 1e6).astype(int).tolist(),
        np.round(events.seconds * 1e6).astype(int).tolist(),
        events.phases, events.names, events.nodes, events.pids.tolist(), strict=True,
    )  # fmt: skip
    assert Counter(ours) == Counter(map(tuple, theirs["events"]))
    assert len(events) > 800
    assert np.all(np.diff(events.starts) >= 0)


def test_the_frame_of_smdebug_counts_what_ours_does(folder, theirs):
    events = read_profile([folder]).events
    assert Counter(events.names.tolist()) == theirs["frame"]
    assert sorted(events.steps[events.phases == TRAIN].tolist()) == theirs["steps"]


def test_what_smdebugs_own_writer_leaves_is_read_open_or_closed(tmp_path):
    config, out = tmp_path / "profilerconfig.json", tmp_path / "seen.json"
    parameters = {"LocalPath": str(tmp_path), "ProfilerEnabled": True}
    config.write_text(json.dumps({"ProfilingParameters": parameters}))
    run("-c", WRITE_WITH_SMDEBUG, str(tmp_path), TRAIN, str(T0), str(out),
        SMPROFILER_CONFIG_PATH=str(config))  # fmt: skip
    for steps, starts, phases, pids, notes in json.loads(out.read_text()):
        assert steps == [0, 1, 2]
        assert starts == pytest.approx([T0, T0 + 1, T0 + 2])
        assert (phases, pids, notes) == ([TRAIN] * 3, [77] * 3, [])


def test_a_job_knows_its_times_and_whether_it_has_ended(tmp_path):
    spans = [Span(phase=TRAIN, start=T0 + 70, seconds=5, step=0)]
    lines = [Line(at=T0 + 8 + i, type="cpu", name="cpu0", dimension=CPU, value=i) for i in (0, 1)]
    write_timeline(tmp_path, "26-algo-1", spans)
    write_system(tmp_path, "algo-1", lines)
    profile = read_profile([tmp_path])
    assert (profile.first_file_at, profile.started_at) == (T0, T0 + 8)
    assert profile.ended_at == pytest.approx(T0 + 75)
    assert profile.seconds == pytest.approx(67)
    assert not profile.has_ended
    end_job(tmp_path)
    assert read_profile([tmp_path]).has_ended


def test_files_without_an_hour_folder_and_half_a_last_line_are_read(tmp_path):
    path = tmp_path / "system/incremental/1591160699.algo-1.json"
    path.parent.mkdir(parents=True)
    good = {"Type": "cpu", "Name": "cpu0", "Dimension": CPU, "Value": 4.76, "NodeId": "algo-1",
            "Timestamp": 1591160699.4570894}  # fmt: skip
    path.write_text(json.dumps(good) + '\n{"Type":"cpu","Name":"cp')
    profile = read_profile([tmp_path])
    series = profile.system["algo-1"].of(CPU)["cpu0"]
    assert (series.times.tolist(), series.values.tolist()) == ([1591160699.4570894], [4.76])
    assert profile.first_file_at == 1591160699
    assert profile.notes == ()


def test_the_order_of_a_lines_fields_does_not_matter_and_bad_lines_are_counted(tmp_path):
    path = tmp_path / "system/incremental/2023111422/1700000040.algo-3.json"
    path.parent.mkdir(parents=True)
    turned = {"Timestamp": T0 + 1, "Value": 7, "Dimension": CPU, "Name": "cpu0", "Type": "cpu"}
    wrong = {**turned, "Value": "much"}
    path.write_text("\n".join([json.dumps(turned), "nonsense", json.dumps(wrong), "[1]", ""]))
    profile = read_profile([tmp_path])
    assert profile.system["algo-3"].of(CPU)["cpu0"].values.tolist() == [7.0]
    (note,) = profile.notes
    assert "1700000040.algo-3.json: 3 of 5 lines" in note


def test_traffic_of_the_platform_is_left_out_and_cores_stand_in_their_order(tmp_path):
    lines = [Line(at=T0, type="cpu", name=f"cpu{n}", dimension=CPU, value=n) for n in (10, 2, 0)]
    for dimension, value in (("Algorithm", 5.0), ("Platform", 900.0)):
        lines.append(Line(at=T0, type="network", name=NETWORK[0], dimension=dimension, value=value))
    write_system(tmp_path, "algo-1", lines)
    metrics = read_profile([tmp_path]).system["algo-1"]
    assert list(metrics.of(CPU)) == ["cpu0", "cpu2", "cpu10"]
    assert metrics.of(NETWORK[0])[NETWORK[0]].values.tolist() == [5.0]
    assert metrics.of("GPUUtilization") == {}


def test_a_timeline_that_was_cut_off_gives_what_is_whole(tmp_path):
    write_timeline(
        tmp_path, "26-algo-1", [Span(phase=TRAIN, start=T0 + n, seconds=1, step=n) for n in (0, 1)]
    )
    (path,) = tmp_path.rglob("*_pythontimeline.json")
    text = path.read_text()
    path.unlink()
    (tmp_path / "framework/26-algo-1_pythontimeline.json.tmp").write_text(text[:-30])
    profile = read_profile([tmp_path])
    assert profile.events.steps.tolist() == [0]
    assert profile.notes == ()


def test_begin_and_end_make_one_event_and_one_alone_makes_none(tmp_path):
    records = [
        {"name": "process_name", "ph": "M", "pid": 0,
         "args": {"start_time_since_epoch_in_micros": int(T0 * 1e6)}},
        {"name": "process_name", "ph": "M", "pid": 3, "args": {"name": "layer"}},
        {"ph": "E", "pid": 3, "ts": 5},
        {"name": "ALLREDUCE", "ph": "B", "pid": 3, "ts": 1_000_000},
        {"name": "WAIT", "ph": "B", "pid": 3, "ts": 1_500_000},
        {"ph": "E", "pid": 3, "ts": 2_000_000},
        {"ph": "E", "pid": 3, "ts": 4_000_000, "args": {"pid": 9}},
        {"name": "never ends", "ph": "B", "pid": 3, "ts": 5_000_000},
        {"name": "instant", "ph": "i", "pid": 3, "ts": 5_000_000},
    ]  # fmt: skip
    path = tmp_path / "framework/pevents/2023111422/1700000044000000_9-algo-1_horovod_timeline.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(records))
    events = read_profile([tmp_path]).events
    assert events.names.tolist() == ["ALLREDUCE", "WAIT"]
    assert events.starts.tolist() == [T0 + 1, T0 + 1.5]
    assert events.seconds.tolist() == [3.0, 0.5]
    assert events.phases.tolist() == ["layer", "layer"]
    assert events.pids.tolist() == [9, -1]
    assert [one["source"] for one in events.arguments] == ["horovod", "horovod"]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "not json", '[{"ph":"X"}]', "[1, null]", '[{"ph":"X","pid":1,"ts":"a","dur":1}]',
     '[{"ph":"X","pid":1,"ts":1,"dur":-4}]'],
)  # fmt: skip
def test_a_broken_timeline_is_a_note_and_no_crash(tmp_path, text):
    path = tmp_path / "framework/pevents/2023111422/1700000044000000_9-algo-1_model_timeline.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    profile = read_profile([tmp_path])
    assert len(profile.events) == 0
    assert len(profile.notes) == (1 if text and text != "not json" else 0)


def test_a_file_that_may_not_be_read_is_a_note(tmp_path):
    path = tmp_path / "system/incremental/1700000040.algo-1.json"
    path.mkdir(parents=True)  # a folder where a file should be
    profile = read_profile([tmp_path])
    assert profile.system == {}
    assert "1700000040.algo-1.json" in profile.notes[0]


def test_nothing_at_all_is_an_empty_profile(tmp_path):
    profile = read_profile([])
    assert (profile.seconds, len(profile.events), profile.has_ended) == (0.0, 0, False)
    assert find_profiler_folders(tmp_path) == ()


def test_folders_of_all_hosts_are_found_below_a_job(tmp_path):
    mine = tmp_path / "output/profiler"
    others = [tmp_path / f"hosts/algo-{n}/output/profiler" for n in (2, 10)]
    for folder in (mine, *others):
        (folder / "system").mkdir(parents=True)
    assert find_profiler_folders(tmp_path) == (mine, *others)
    assert find_profiler_folders(mine) == (mine,)


def test_the_layout_of_a_jobs_prefix_is_found(tmp_path):
    (tmp_path / "profiler-output/framework").mkdir(parents=True)
    (tmp_path / "rule-output/ProfilerReport/profiler-output/profiler-reports").mkdir(parents=True)
    assert find_profiler_folders(tmp_path) == (tmp_path / "profiler-output",)


def test_hosts_of_several_folders_come_together(tmp_path):
    for number in (1, 2):
        folder = tmp_path / str(number)
        line = Line(at=T0 + number, type="cpu", name="cpu0", dimension=CPU, value=1.0)
        write_system(folder, f"algo-{number}", [line])
        span = Span(phase=TRAIN, start=T0 - number, seconds=1, step=0)
        write_timeline(folder, f"26-algo-{number}", [span])
    end_job(tmp_path / "1")
    profile = read_profile([tmp_path / "1", tmp_path / "2"])
    assert list(profile.system) == ["algo-1", "algo-2"]
    assert profile.events.nodes.tolist() == ["algo-2-26", "algo-1-26"]  # by their start
    assert not profile.has_ended  # the second host has not


def test_the_host_of_a_process():
    names = ("algo-1-26", "algo-1", "127.0.0.2-4242", "localhost-7", "ip-10-0-0-1-99", "0001")
    hosts = ["algo-1", "algo-1", "127.0.0.2", "localhost", "ip-10-0-0-1", "0001"]
    assert [host_of(name) for name in names] == hosts


def test_hours_of_the_files_do_not_matter_to_us(folder):
    hours = {path.parent.name for path in folder.rglob("*.algo-1.json")}
    assert hours == {datetime.fromtimestamp(T0, UTC).strftime("%Y%m%d%H")}

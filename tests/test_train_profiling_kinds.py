"""Other kinds of jobs: a head on features, two processes, and one that is not measured."""

import subprocess
import sys
from collections import Counter

from hosts import lay_out_hosts, run_hosts
from profiled import (
    STEPS,
    WITHIN,
    all_events,
    assert_complete,
    lay_out_profiled,
    of_phase,
    place_of,
    run_profiled,
    run_trace,
)
from profiles import EVAL, TRAIN
from training import COUNTS, REPOSITORY, WAIT_SECONDS, flags

from contract.files import write_json
from contract.profiler_config import ProfilerConfig


def test_a_head_on_features_has_spans_of_its_pass(pictures, tmp_path):
    code, output = run_profiled(lay_out_profiled(tmp_path, pictures, epochs="3"))
    assert code == 0, output
    place = place_of(tmp_path)
    assert_complete(place)
    events = all_events(place)
    assert [event.args["split"] for event in of_phase(events, "FeaturePass")] == list(COUNTS)
    for phase in (TRAIN, *WITHIN):
        assert [event.step for event in of_phase(events, phase)] == list(range(3 * STEPS))
    assert len(of_phase(events, EVAL)) == 3 + 1
    assert of_phase(events, "DataLoaderWorker") == []


def test_several_processes_write_a_timeline_each(pictures, tmp_path):
    (base,) = lay_out_hosts(
        tmp_path,
        [{name: pictures / name for name in COUNTS}],
        processes_per_host="2",
        unfreeze="all",
        epochs="1",
    )
    config = ProfilerConfig(interval_ms=200).to_json()
    write_json(base / "input" / "config" / "profilerconfig.json", config)
    ((code, output),) = run_hosts([base])
    assert code == 0, output
    place = place_of(base)
    assert_complete(place)
    assert {path.name.split("_")[1] for path in place.closed_timelines()} == {
        "0-algo-1",
        "1-algo-1",
    }
    steps = of_phase(all_events(place), TRAIN)
    assert Counter(event.step for event in steps) == dict.fromkeys(range(STEPS), 2)
    assert len({event.args["pid"] for event in steps}) == 2
    names = [
        event["args"]["name"]
        for event in run_trace(place)["traceEvents"]
        if event["name"] == "process_name"
    ]
    assert {"algo-1 process 0", "algo-1 process 1", "host algo-1"} <= set(names)


def test_a_job_that_asks_for_nothing_loads_and_leaves_nothing(pictures, tmp_path):
    script = (
        "import sys, threading\n"
        "from train.main import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "names = ('psutil', 'smdebug', 'train.timeline', 'train.trace_file')\n"
        "print('loaded', [name for name in names if name in sys.modules])\n"
        "print('threads', threading.active_count())\n"
    )
    words = flags(pictures, tmp_path, epochs="1")
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("loaded []\nthreads 1\n")
    assert not list(tmp_path.rglob("*profiler*"))

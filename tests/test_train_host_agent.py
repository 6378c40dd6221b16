"""The host agent: when it writes what, and that it never stays behind."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from profiled import (
    agent_facts,
    assert_complete,
    await_end,
    await_ticks,
    is_running,
    place_of,
    ticks_of,
)
from training import REPOSITORY, WAIT_SECONDS, job_for

from contract.job import Cluster
from contract.profiler_config import ProfilerConfig
from train.agent_process import AgentProcess, host_agent
from train.profile_place import ProfilePlace, node_of
from train.system_files import Reading, SystemFiles

NAMES = {
    ("memory", "MemoryUsedPercent", ""),
    ("i/o", "IOPS", ""),
    ("i/o", "ReadThroughputInBytesPerSecond", ""),
    ("i/o", "WriteThroughputInBytesPerSecond", ""),
    ("network", "ReceiveBytesPerSecond", "Algorithm"),
    ("network", "ReceiveBytesPerSecond", "Platform"),
    ("network", "TransmitBytesPerSecond", "Algorithm"),
    ("network", "TransmitBytesPerSecond", "Platform"),
}


@pytest.fixture
def place(tmp_path) -> ProfilePlace:
    return place_of(tmp_path)


def test_every_tick_has_all_lines_with_one_time(place):
    agent = AgentProcess(place, 100)
    await_ticks(place, 5)
    agent.end()
    agent.end()
    assert_complete(place)
    cores = {
        ("cpu", f"cpu{core}", dimension)
        for core in os.sched_getaffinity(0)
        for dimension in ("CPUUtilization", "I/OWaitPercentage")
    }
    ticks = ticks_of(place)
    for lines in ticks.values():
        assert {(line["Type"], line["Name"], line["Dimension"]) for line in lines} == cores | NAMES
        assert len(lines) == len(cores | NAMES)
        assert {line["NodeId"] for line in lines} == {"algo-1"}
        for line in lines:
            assert line["Value"] >= 0
            assert line["Type"] not in ("cpu", "memory") or line["Value"] <= 100
    times = sorted(ticks)
    assert abs(times[-1] - time.time()) < 60
    for path in place.system_files():
        minute = int(path.name.split(".")[0])
        assert minute % 60 == 0
        assert path.parent.name == time.strftime("%Y%m%d%H", time.gmtime(minute))
        for line in path.read_text().splitlines():
            assert minute <= json.loads(line)["Timestamp"] < minute + 60
    assert agent_facts(place)["ticks"] == len(ticks)


def test_a_long_interval_has_its_first_tick_at_once_and_its_last_at_the_end(place):
    agent = AgentProcess(place, 60_000)
    await_ticks(place, 1)
    time.sleep(0.1)
    agent.end()
    assert_complete(place)
    assert len(ticks_of(place)) == 2


def test_a_tick_is_one_line_a_value_in_the_file_of_its_minute(tmp_path):
    files = SystemFiles(tmp_path / "system", "algo-2")
    reading = Reading("gpu", "gpu0", "GPUUtilization", 12.345)
    for timestamp in (1_700_000_039.75, 1_700_000_040.25, 1_700_000_040.5):
        files.write(timestamp, [reading])
    files.close()
    folder = tmp_path / "system" / "incremental" / "2023111422"
    one, two = (folder / f"{minute}.algo-2.json" for minute in (1_699_999_980, 1_700_000_040))
    assert one.read_text() == (
        '{"Type":"gpu","Name":"gpu0","Dimension":"GPUUtilization","Value":12.35,'
        '"NodeId":"algo-2","Timestamp":1700000039.750000}\n'
    )
    assert len(two.read_text().splitlines()) == 2
    assert files.num_bytes == one.stat().st_size + two.stat().st_size


# Starts an agent, says which it is, has a child that holds the agent's pipe open, and waits.
PARENT = """
import os, sys, time
from pathlib import Path
from train.agent_process import AgentProcess
from train.profile_place import ProfilePlace
agent = AgentProcess(ProfilePlace(folder=Path(sys.argv[1]), node="algo-1"), int(sys.argv[2]))
child = os.fork()
if not child:
    time.sleep(60)
    os._exit(0)
print(agent.pid, child, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("interval_ms", [100, 60_000])
def test_the_agent_dies_with_its_parent_however_that_dies(place, interval_ms):
    words = [sys.executable, "-c", PARENT, str(place.folder), str(interval_ms)]
    with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        agent, child = map(int, parent.stdout.readline().split())
        try:
            await_ticks(place, 1)
            assert is_running(agent)
            os.killpg(os.getpgid(agent), signal.SIGTERM)  # nobody else is in its group: it stays
            time.sleep(0.2)
            assert is_running(agent)
            parent.kill()
            await_end(agent)
        finally:
            os.kill(child, signal.SIGKILL)
    assert_complete(place)


def test_a_disk_that_takes_no_more_ends_the_samples_only(place, capfd):
    script = PARENT.replace("import os,", "import resource, os,").replace(
        "agent = ",
        "place = Path(sys.argv[1]).mkdir(parents=True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\nagent = ",
    )
    script = script[: script.index("child = ")] + "time.sleep(2)\nagent.end()\n"
    done = subprocess.run(
        [sys.executable, "-c", script, str(place.folder), "100"],
        cwd=REPOSITORY,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: the host agent is switched off, the job goes on: OSError")
    assert "File too large" in line
    assert agent_facts(place)["notes"][0] in line
    assert (place.system / "training_job_end.ts").exists()


def test_a_job_goes_on_without_an_agent_that_cannot_start(tmp_path, pictures, caplog):
    job = job_for(pictures, tmp_path)
    (tmp_path / "file").write_text("")
    config = ProfilerConfig(local_path=tmp_path / "file" / "profiler")
    with (
        caplog.at_level(logging.INFO, "train"),
        host_agent(replace(job, profiler=config), {}) as agent,
    ):
        assert agent is None
    (record,) = caplog.records
    assert "the job is not profiled, the host agent did not start: " in record.message


def test_only_the_process_that_starts_the_others_has_an_agent(tmp_path, pictures):
    job = replace(
        job_for(pictures, tmp_path), profiler=ProfilerConfig(local_path=tmp_path / "profiler")
    )
    with host_agent(job, {"KENNEL_LOCAL_RANK": "0"}) as agent:
        assert agent is None
    disabled = replace(job, profiler=ProfilerConfig(is_disabled=True))
    with host_agent(disabled, {}) as agent:
        assert agent is None
    assert not (tmp_path / "profiler").exists()


def test_hosts_are_called_as_smdebug_knows_them():
    assert node_of(Cluster()) == "algo-1"
    assert node_of(Cluster(current_host="algo-12", hosts=("algo-1", "algo-12"))) == "algo-12"
    assert node_of(Cluster(current_host="b", hosts=("a", "b"))) == "algo-2"

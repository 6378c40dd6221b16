"""The host agent: what it says of the host, when, and that it never stays behind."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from profiled import agent_facts, assert_complete, await_end, is_running, place_of, ticks_of
from training import REPOSITORY, WAIT_SECONDS, job_for

from contract.files import replacing
from contract.job import Cluster
from contract.profiler_config import ProfilerConfig
from train.agent_process import AgentProcess, host_agent
from train.host_metrics import HostMetrics, shares
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


def proc_stat() -> dict[str, list[int]]:
    """user, nice, system, idle, iowait, irq, softirq, steal of each core, as Linux counts them."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    return {
        words[0]: list(map(int, words[1:9]))
        for words in lines
        if words[0].startswith("cpu") and words[0] != "cpu"
    }


def busy_percent(before: dict[str, list[int]], after: dict[str, list[int]]) -> dict[str, float]:
    """Time that was neither idle nor waited for disks."""
    found = {}
    for core, was in before.items():
        spent = [late - early for late, early in zip(after[core], was, strict=True)]
        found[core] = 100 * (sum(spent) - spent[3] - spent[4]) / max(1, sum(spent))
    return found


def work(seconds: float) -> None:
    """One thread's worth of load."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))


def await_ticks(place: ProfilePlace, count: int) -> None:
    """Wait until there are so many."""
    deadline = time.monotonic() + WAIT_SECONDS
    while len(ticks_of(place)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


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


def test_the_load_of_cores_is_what_linux_counts():
    before, metrics = proc_stat(), HostMetrics()
    work(1.0)
    readings, after = metrics.read(), proc_stat()
    found = {one.name: one.value for one in readings if one.dimension == "CPUUtilization"}
    expected = busy_percent(before, after)
    for core, percent in found.items():
        assert percent == pytest.approx(expected[core], abs=5)
    assert sum(found.values()) >= 60  # ours at least, on however many cores


def test_the_agents_load_of_cores_is_what_linux_counts_meanwhile(place):
    agent = AgentProcess(place, 100)
    await_ticks(place, 1)
    first, before = max(ticks_of(place)), proc_stat()
    work(2.0)
    after, last = proc_stat(), time.time()
    agent.end()
    ticks = {at: lines for at, lines in ticks_of(place).items() if first < at <= last}
    for core, percent in busy_percent(before, after).items():
        values = [
            line["Value"]
            for lines in ticks.values()
            for line in lines
            if (line["Name"], line["Dimension"]) == (core, "CPUUtilization")
        ]
        if values:  # of a core that we may use
            assert sum(values) / len(values) == pytest.approx(percent, abs=12)


def test_shares_of_a_cores_time_by_hand():
    before = {"user": 1.0, "system": 1.0, "idle": 10.0, "iowait": 0.0, "guest": 0.5}
    after = {"user": 3.0, "system": 2.0, "idle": 15.0, "iowait": 2.0, "guest": 1.5}
    assert shares(before, after) == (30.0, 20.0)  # a guest's time is its user's, too
    assert shares(after, after) == (0.0, 0.0)
    assert shares(after, {**after, "idle": 14.0, "user": 4.0}) == (100.0, 0.0)  # idle went back


def test_only_cores_that_we_may_use_are_told():
    script = (
        "import os\n"
        "os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
        "from train.host_metrics import HostMetrics\n"
        "print(sorted({one.name for one in HostMetrics().read() if one.kind == 'cpu'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )
    assert done.stdout.strip() == f"['cpu{max(os.sched_getaffinity(0))}']"


def test_what_is_written_to_disk_shows(tmp_path):
    metrics = HostMetrics()
    with replacing(tmp_path / "large") as path:
        path.write_bytes(os.urandom(4_000_000))  # it is synced
    began = metrics._at
    readings = {one.name: one.value for one in metrics.read() if one.kind == "i/o"}
    if not Path("/proc/diskstats").read_text().strip():
        pytest.skip("no disk is seen here")
    written = readings["WriteThroughputInBytesPerSecond"] * (metrics._at - began)
    if shutil.disk_usage(tmp_path).total and not _is_on_disk(tmp_path):
        pytest.skip("the temporary folder is in memory")
    assert written >= 3_900_000
    assert readings["IOPS"] > 0


def _is_on_disk(path: Path) -> bool:
    """Whether its file system is one that /proc/diskstats counts."""
    major, minor = os.major(path.stat().st_dev), os.minor(path.stat().st_dev)
    devices = [line.split()[:2] for line in Path("/proc/diskstats").read_text().splitlines()]
    return [str(major), str(minor)] in devices


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


@pytest.fixture(scope="module")
def gpu_values(tmp_path_factory) -> Callable[[str | None], dict[str, float]]:
    """What the agent says of the two GPUs of a stand-in driver; CUDA_VISIBLE_DEVICES is given."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make the driver's stand-in")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("nvml_stand_in.c")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source)],
        check=True,
        timeout=WAIT_SECONDS,
    )

    def values(visible: str | None) -> dict[str, float]:
        place = place_of(folder / f"visible-{visible}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LD_LIBRARY_PATH", str(folder))
            patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
            if visible is not None:
                patch.setenv("CUDA_VISIBLE_DEVICES", visible)
            agent = AgentProcess(place, 100)
        await_ticks(place, 1)
        agent.end()
        (lines, *_) = ticks_of(place).values()
        found = {
            f"{line['Name']} {line['Dimension']}": line["Value"]
            for line in lines
            if line["Type"] == "gpu"
        }
        assert agent_facts(place)["gpus"] == len(found) / 2
        return found

    return values


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, [(20, 12.5), (75, 50)]), ("1", [(75, 50)]), ("GPU-bbbb,0", [(75, 50), (20, 12.5)]),
     ("", [])],
)  # fmt: skip
def test_gpus_that_the_job_sees_are_read(gpu_values, visible, expected):
    assert gpu_values(visible) == {
        f"gpu{index} {name}": value
        for index, pair in enumerate(expected)
        for name, value in zip(("GPUUtilization", "GPUMemoryUtilization"), pair, strict=True)
    }

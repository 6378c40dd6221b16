"""What is measured of a host: cores, disks and GPUs, against what Linux and a driver count."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from profiled import agent_facts, await_ticks, place_of, ticks_of
from training import REPOSITORY, WAIT_SECONDS

from contract.files import replacing
from train.agent_process import AgentProcess
from train.host_metrics import HostMetrics, shares
from train.profile_place import ProfilePlace


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

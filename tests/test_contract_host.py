import os

import pytest

from contract.host import (
    available_cpus,
    available_memory_bytes,
    cpu_limit,
    free_memory_bytes,
)


def lay_out(tmp_path, membership, files):
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "self").write_text(membership)
    return tmp_path / "cgroup", tmp_path / "self"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("max 100000", 16)],
)
def test_version_2_limit_is_rounded_up_and_at_least_one(tmp_path, limit, expected):
    root, membership = lay_out(tmp_path, "0::/\n", {"cpu.max": limit})
    assert available_cpus(16, root, membership) == expected


def test_the_tightest_limit_on_the_way_up_counts(tmp_path):
    files = {"cpu.max": "max 100000", "a/cpu.max": "300000 100000", "a/b/cpu.max": "800000 100000"}
    root, membership = lay_out(tmp_path, "0::/a/b\n", files)
    assert available_cpus(16, root, membership) == 3


def test_version_1_limit_is_found(tmp_path):
    files = {
        "cpu,cpuacct/docker/x/cpu.cfs_quota_us": "400000",
        "cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000",
    }
    root, membership = lay_out(tmp_path, "4:cpu,cpuacct:/docker/x\n", files)
    assert available_cpus(16, root, membership) == 4


def test_version_1_without_limit_is_the_affinity(tmp_path):
    files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    root, membership = lay_out(tmp_path, "4:cpu:/\n", files)
    assert available_cpus(6, root, membership) == 6


def test_affinity_below_the_limit_wins(tmp_path):
    root, membership = lay_out(tmp_path, "0::/\n", {"cpu.max": "800000 100000"})
    assert available_cpus(2, root, membership) == 2


def test_no_cgroup_at_all_is_the_affinity(tmp_path):
    assert available_cpus(5, tmp_path / "no", tmp_path / "none") == 5


def test_this_machine_has_a_limit_of_at_least_one():
    assert 1 <= cpu_limit() <= len(os.sched_getaffinity(0))


def meminfo(tmp_path, available_kib):
    path = tmp_path / "meminfo"
    path.write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available_kib} kB\n")
    return path


def test_memory_is_what_the_host_has_left_without_a_limit(tmp_path):
    root, membership = lay_out(tmp_path, "0::/\n", {"memory.max": "max", "memory.current": "5"})
    assert available_memory_bytes(meminfo(tmp_path, 1000), root, membership) == 1000 * 1024


def test_memory_is_what_the_tightest_version_2_group_has_left(tmp_path):
    files = {
        "memory.max": "max",
        "a/memory.max": "900000",
        "a/memory.current": "600000",
        "a/b/memory.max": "800000",
        "a/b/memory.current": "100000",
    }
    root, membership = lay_out(tmp_path, "0::/a/b\n", files)
    assert available_memory_bytes(meminfo(tmp_path, 10**6), root, membership) == 300000


def test_memory_of_a_version_1_group_is_found_and_never_negative(tmp_path):
    files = {
        "memory/docker/x/memory.limit_in_bytes": "1000",
        "memory/docker/x/memory.usage_in_bytes": "1200",
    }
    root, membership = lay_out(tmp_path, "9:memory:/docker/x\n", files)
    assert available_memory_bytes(meminfo(tmp_path, 10**6), root, membership) == 0


@pytest.mark.parametrize(
    ("prefix", "membership", "names"),
    [
        ("a", "0::/a\n", ("memory.max", "memory.current")),
        (
            "memory/a",
            "9:memory:/a\n",
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ),
    ],
)
def test_cached_files_that_nobody_uses_are_free_memory(tmp_path, prefix, membership, names):
    stat = "cache 700\ninactive_file 600\n"
    if prefix.startswith("memory"):
        stat += "total_inactive_file 650\n"
    files = {f"{prefix}/{name}": text for name, text in zip(names, ("1000", "900"), strict=True)}
    root, member = lay_out(tmp_path, membership, {**files, f"{prefix}/memory.stat": stat})
    expected = 750 if "total" in stat else 700
    assert available_memory_bytes(meminfo(tmp_path, 10**6), root, member) == expected


def test_memory_that_nobody_tells_is_eight_gib(tmp_path):
    assert available_memory_bytes(tmp_path / "a", tmp_path / "b", tmp_path / "c") == 8 * 1024**3


def test_this_machine_has_memory_left():
    assert free_memory_bytes() > 0

"""What this container may use: CPUs and memory by its cgroup's limits, not by the host's size."""

import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
MEMINFO = Path("/proc/meminfo")
CPUINFO = Path("/proc/cpuinfo")


def cpu_limit() -> int:
    """Whole CPUs to plan for, at least 1; a limit of 1.5 CPUs counts as 2."""
    # macOS has no affinity to ask for.
    affine = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return available_cpus(len(affine), CGROUP_ROOT, MEMBERSHIP)


def available_cpus(num_affine: int, cgroup_root: Path, membership: Path) -> int:
    """The smallest of the affinity and every limit on the way up the cgroup tree.

    Source: Linux Documentation/admin-guide/cgroup-v2 (cpu.max), scheduler/sched-bwc (version 1).
    """
    limits = [*_limits_v2(cgroup_root, membership), *_limits_v1(cgroup_root, membership)]
    return max(1, min([num_affine, *(math.ceil(limit) for limit in limits)]))


def chip_name(cpuinfo: Path = CPUINFO) -> str:
    """The processor's model, as Linux names it; the machine's architecture elsewhere.

    ARM's processors have numbers instead of a name: `aarch64 0x41 0xd40` is a Neoverse V1.
    """
    facts = _cpu_facts(cpuinfo)
    numbers = [facts[key] for key in ("CPU implementer", "CPU part") if key in facts]
    return facts.get("model name", " ".join([platform.machine(), *numbers]))


def has_int8_instructions(cpuinfo: Path = CPUINFO) -> bool:
    """True when the processor multiplies and adds bytes in one instruction (VNNI, AMX, dot)."""
    facts = _cpu_facts(cpuinfo)
    flags = set(f"{facts.get('flags', '')} {facts.get('Features', '')}".split())
    return not flags.isdisjoint({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})


def _cpu_facts(cpuinfo: Path) -> dict[str, str]:
    """What the first processor says of itself."""
    first = _text(cpuinfo).partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def resident_bytes() -> int:
    """Memory that this process has now; 0 where Linux does not say."""
    pages = _text(Path("/proc/self/statm")).split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def free_memory_bytes() -> int:
    """Memory that this process may still take: the host's available, or less by the cgroup."""
    return available_memory_bytes(MEMINFO, CGROUP_ROOT, MEMBERSHIP)


def available_memory_bytes(meminfo: Path, cgroup_root: Path, membership: Path) -> int:
    """The smallest of MemAvailable and every cgroup's limit minus what it uses (v2 and v1).

    Files that were read and are used by nobody count as free: a cgroup's use includes them, but
    they go as soon as memory is needed. 8 GiB where nothing can be read, as on macOS.
    """
    free: list[int] = []
    for line in _text(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    for root, limit_name, usage_name, controller in (
        (cgroup_root, "memory.max", "memory.current", ""),
        (cgroup_root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory"),
    ):
        for folder in _folders(root, _group(membership, controller)):
            limit, usage = _text(folder / limit_name), _text(folder / usage_name)
            if limit.isdigit() and usage.isdigit():
                free.append(max(0, int(limit) - int(usage) + _unused_files(folder)))
    return min(free, default=8 * 1024**3)


def _unused_files(folder: Path) -> int:
    """Bytes of cached files outside the working set; version 1 names its subtree's `total_...`."""
    stat = dict(line.split()[:2] for line in _text(folder / "memory.stat").splitlines() if line)
    return int(stat.get("total_inactive_file", stat.get("inactive_file", "0")))


def _limits_v2(root: Path, membership: Path) -> Iterator[float]:
    for folder in _folders(root, _group(membership, "")):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            yield int(quota) / int(period)


def _limits_v1(root: Path, membership: Path) -> Iterator[float]:
    for controller in ("cpu", "cpu,cpuacct"):
        for folder in _folders(root / controller, _group(membership, "cpu")):
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit() and int(period) > 0:  # -1: no limit
                yield int(quota) / int(period)


def _group(membership: Path, controller: str) -> str:
    """This process's path in one hierarchy; lines read `id:controllers:path`."""
    for line in _text(membership).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            return path
    return ""


def _folders(root: Path, group: str) -> Iterator[Path]:
    """The group's folder and its parents; inside a container the group's own may not be mounted."""
    folder = root / group.strip("/")
    while folder != root and root in folder.parents:
        yield folder
        folder = folder.parent
    yield root


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""

"""The CPUs that this container may use: its cgroup's limit and affinity, not the host's count."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_limit() -> int:
    """Whole CPUs to plan for, at least 1; a limit of 1.5 CPUs counts as 2."""
    return available_cpus(len(os.sched_getaffinity(0)), CGROUP_ROOT, MEMBERSHIP)


def available_cpus(num_affine: int, cgroup_root: Path, membership: Path) -> int:
    """The smallest of the affinity and every limit on the way up the cgroup tree.

    Source: Linux Documentation/admin-guide/cgroup-v2 (cpu.max), scheduler/sched-bwc (version 1).
    """
    limits = [*_limits_v2(cgroup_root, membership), *_limits_v1(cgroup_root, membership)]
    return max(1, min([num_affine, *(math.ceil(limit) for limit in limits)]))


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

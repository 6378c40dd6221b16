"""The machine as it is: versions, processors, memory, disk, GPU, Docker. Imports nothing heavy."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from contract.host import cpu_limit, free_memory_bytes

GIB = 1024**3
PROGRAM_SECONDS = 10.0  # nvidia-smi takes seconds on a cold driver
PACKAGES = (
    "kennel",
    "torch",
    "torchvision",
    "openvino",
    "numpy",
    "pillow",
    "safetensors",
    "flask",
    "gunicorn",
    "smdebug",
    "scikit-learn",
)


def facts() -> dict[str, str]:
    """Name -> value, in the order in which a person wants them."""
    return {
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        **{name: _version(name) for name in PACKAGES},
        "processors": _processors(),
        "memory": _memory(),
        "disk here": _disk(Path.cwd()),
        "shared memory": _disk(Path("/dev/shm")),
        "gpu": _gpu(),
        "docker": _docker(),
    }


def _version(name: str) -> str:
    from importlib import metadata  # 70 ms that `kennel --help` need not wait for

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _processors() -> str:
    limit, present = cpu_limit(), os.cpu_count() or 1
    return f"{limit} of {present}, by affinity or the container" if limit < present else f"{limit}"


def _memory() -> str:
    free = f"{free_memory_bytes() / GIB:.1f} GiB free"
    names = os.sysconf_names
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= names.keys():
        return free
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    return f"{free} of {total:.1f} GiB"


def _disk(path: Path) -> str:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return "none"
    return f"{usage.free / GIB:.1f} GiB free of {usage.total / GIB:.1f} GiB"


def _gpu() -> str:
    query = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return _output("nvidia-smi", *query) or "none (no nvidia-smi that answers)"


def _docker() -> str:
    if shutil.which("docker") is None:
        return "missing"
    server = _output("docker", "version", "--format", "{{.Server.Version}}")
    return server or "the client only: no engine answers"


def _output(program: str, *words: str) -> str | None:
    """What a program prints, lines joined; None when it is missing, fails or hangs."""
    try:
        done = subprocess.run(
            (program, *words), capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return "; ".join(done.stdout.split("\n")).strip("; \n")

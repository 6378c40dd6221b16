"""Machine: the chip, its processors, and the versions of all that was measured."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.servers import BENCH_BIN
from contract.host import chip_name, cpu_limit

OURS = ("openvino", "torch", "torchvision", "numpy", "pillow", "flask", "gunicorn")
THEIRS = (
    *("torchserve", "torch-model-archiver", "litserve", "fastapi", "uvicorn", "flask"),
    *("gunicorn", "torch", "torchvision", "pillow"),
)
ASK = (
    "import importlib.metadata as m, json, sys; "
    "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
)
ASK_SECONDS = 60


def describe_host(packages: Sequence[str] = OURS) -> dict[str, str]:
    """The chip, and the versions of our packages."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "chip": chip_name(),
        "processors": str(cpu_limit()),
        "memory": f"{_memory_gib():.0f} GiB",
        "python": sys.version.split()[0],
        "ours": ", ".join(f"{name} {metadata.version(name)}" for name in packages),
    }


def describe_machine() -> dict[str, str]:
    """What a reader needs to judge the figures."""
    return {
        **describe_host(),
        "peers": ", ".join(f"{name} {version}" for name, version in _peer_versions().items()),
        "java": _java(),
    }


def _peer_versions() -> dict[str, str]:
    command = [str(BENCH_BIN / "python"), "-c", ASK, *THEIRS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def _java() -> str:
    try:
        done = subprocess.run(
            ["java", "-version"], capture_output=True, text=True, timeout=ASK_SECONDS, check=False
        )
    except FileNotFoundError:
        return "none"
    return (done.stderr or done.stdout).splitlines()[0]


def _memory_gib() -> float:
    first = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()[0]
    return int(first.split()[1]) / 1024**2

"""Checks of this machine: disk, shared memory, Docker, boto3."""

import importlib.util
import shutil
from pathlib import Path

from control.aws.house.check import Check, fine, note, wrong
from control.machine import GIB, facts

LEAST_DISK_GIB = 2  # a run with its log, report and bundle needs tenths; pictures come on top
LEAST_SHM_MIB = 256  # four workers with a batch of 32 photographs each


def machine_checks(known: dict[str, str] | None = None, *, needs_aws: bool = False) -> list[Check]:
    """What training, serving and AWS need here. `known`: facts that were gathered already."""
    known = known or facts()
    return [_disk(), _shared_memory(), _docker(known["docker"]), _boto3(needs_aws)]


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    said = f"{free:.1f} GiB free"
    if free < LEAST_DISK_GIB:
        return wrong("disk", said, f"make room: {LEAST_DISK_GIB} GiB at least, for runs/")
    return fine("disk", said)


def _shared_memory() -> Check:
    try:
        free = shutil.disk_usage("/dev/shm").free / 1024**2
    except OSError:
        return note("shared memory", "no /dev/shm: workers hand batches over in files")
    if free < LEAST_SHM_MIB:
        return note(
            "shared memory",
            f"{free:.0f} MiB free: training takes fewer workers",
            "in a container give it more: docker run --shm-size 1g",
        )
    return fine("shared memory", f"{free:.0f} MiB free")


def _docker(said: str) -> Check:
    if said == "missing":
        return note("docker", "missing: --on process and --on aws work without it")
    if said.startswith("the client only"):
        return note("docker", said, "start it, for --on container: systemctl start docker")
    return fine("docker", said)


def _boto3(needs_aws: bool) -> Check:
    if importlib.util.find_spec("boto3"):
        return fine("boto3", "there")
    if needs_aws:
        return wrong("boto3", "missing", "pip install boto3")
    return note("boto3", "missing: nothing in AWS works without it", "pip install boto3")

"""Launch: one process a GPU on this host, watched from the first one's parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from contract.errors import HyperparameterError, InterruptedJobError, KennelError
from contract.hyperparameters import Hyperparameters
from contract.job import TrainingJob
from train.rendezvous import free_port
from train.world import LOCAL_RANK, LOCAL_SIZE, PORT, World

if TYPE_CHECKING:  # it takes seconds: torch
    from train.device import Device

_POLL_SECONDS = 0.2
_END_SECONDS = 20.0  # for the others, once one has failed: they learn of it from one another


def num_processes(values: Hyperparameters, environment: Mapping[str, str] = os.environ) -> int:
    """Processes that this host should start; 1 in a process that was started so."""
    if LOCAL_RANK in environment:
        return 1
    if values.processes_per_host:
        return values.processes_per_host
    from classifier.gpu import find_gpu

    return max(1, find_gpu().count)


def run_processes(job: TrainingJob, arguments: Sequence[str], count: int) -> None:
    """Start `count` processes of the same command, and end when all have.

    Raises KennelError with the reason of the first that failed; it has told and written it.
    """
    environment = {**os.environ, LOCAL_SIZE: str(count)}
    if len(job.cluster.hosts) == 1:
        environment.setdefault(PORT, str(free_port()))
    children: list[subprocess.Popen[bytes]] = []
    with _passing_on(children) as stopped:
        try:
            for rank in range(count):
                children.append(_start(arguments, {**environment, LOCAL_RANK: str(rank)}))
            failed = _first_failure(children)
            if failed is not None:
                _wait(children, _END_SECONDS)
        finally:
            for child in children:
                child.kill()
                child.wait(timeout=_END_SECONDS)
    if failed is not None:
        # A child that was told to stop while it was still being loaded had no handler yet.
        was_stopped = stopped.is_set() and children[failed].returncode == -signal.SIGTERM
        raise _error_of(job, failed, 143 if was_stopped else children[failed].returncode)


def _start(arguments: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    # -P: not what is called `train` in the working folder.
    return subprocess.Popen([sys.executable, "-P", "-m", "train", *arguments], env=environment)


def own_device(device: "Device", world: World) -> "Device":
    """The part of a host's device that belongs to one of its processes.

    Raises HyperparameterError: more processes than GPUs.
    """
    if world.local_size == 1:
        return device
    import torch

    cpus = max(1, device.cpus // world.local_size)
    torch.set_num_threads(cpus)
    if not device.is_cuda:
        return replace(device, cpus=cpus)
    count = torch.cuda.device_count()
    if world.local_size > count:
        raise HyperparameterError(
            "processes-per-host", world.local_size, f"at most {count}, the GPUs of {world.host}"
        )
    gpu = torch.device("cuda", world.local_rank)
    torch.cuda.set_device(gpu)
    return replace(device, torch=gpu, cpus=cpus)


def _first_failure(children: Sequence["subprocess.Popen[bytes]"]) -> int | None:
    """The local rank of the first process that ended badly; None once all ended well."""
    while True:
        codes = [child.poll() for child in children]
        for rank, code in enumerate(codes):
            if code:
                return rank
        if all(code == 0 for code in codes):
            return None
        time.sleep(_POLL_SECONDS)


def _wait(children: Sequence["subprocess.Popen[bytes]"], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(child.poll() is None for child in children):
        time.sleep(_POLL_SECONDS)


@contextmanager
def _passing_on(children: Sequence["subprocess.Popen[bytes]"]) -> Iterator[threading.Event]:
    """SIGTERM goes to every child; Ctrl-C has reached them from the terminal already.

    The event says whether SIGTERM came.
    """
    stopped = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            stopped.set()
            for child in children:
                child.send_signal(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _error_of(job: TrainingJob, rank: int, code: int) -> KennelError:
    if code == InterruptedJobError.exit_code:
        return InterruptedJobError("told to stop before there was a model")
    who = f"process {rank} of host {job.cluster.current_host}"
    reason = f"{who} failed with exit code {code}; see above"
    if code < 0:
        reason = f"{who} was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            reason += ": out of memory? Lower batch-size, or take a larger instance"
    written = job.outputs.failure_file
    if code > 0 and written.is_file():
        reason = written.read_text(encoding="utf-8", errors="replace").strip() or reason
    error = KennelError(reason)
    error.exit_code = max(code, 1)
    return error

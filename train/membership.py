"""Membership: joining the other processes of a job, and leaving them in good order."""

import os
import socket
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d

from contract.errors import HostError
from train.device import Device
from train.group import Group, JoinedGroup
from train.pulse import Pulse
from train.rendezvous import meet
from train.stop import Stop
from train.world import World

_NETWORKS = Path("/sys/class/net")
# Collectives wait for the slowest host, whose pass over its pictures may take hours. Dead hosts
# are the pulse's business.
_COLLECTIVE_LIMIT = timedelta(days=2)
_CONNECT_LIMIT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds the waiting for other hosts."""

    rendezvous_seconds: float  # for all to appear
    last_words: Callable[[str], None]  # gets the reason when a stuck process must be ended
    farewell: Callable[[], None] = lambda: None  # the last thing that such a process does


@contextmanager
def joined(
    world: World, stop: Stop, limits: Limits, prepare: Callable[[], Device]
) -> Iterator[tuple[Group, Device]]:
    """The group of this job's processes, and what `prepare` found this one to compute on.

    Alone, nothing is set up. Whatever ends one process early, in `prepare` too, ends all others
    with its reason. At a good end nobody leaves before the leader has left this block.

    Raises HostError: a host did not come, was lost or failed. InterruptedJobError: one was told
    to stop before training began.
    """
    if world.size == 1:
        yield Group(world), prepare()
        return
    peers, store_port = meet(world, limits.rendezvous_seconds)
    pulse = Pulse(world, peers, stop, limits.last_words, limits.farewell)
    with pulse.beating():
        device: Device | None = None
        try:
            device = prepare()
            _connect(world, device, store_port)
            wait = pulse.give_turn if world.rank == 0 else pulse.await_turn
            yield JoinedGroup(world, wait), device
            pulse.part()
            dist.destroy_process_group()
        except BaseException as error:
            reason = pulse.explain(error)
            if reason is None:
                pulse.tell_failure(error)
            _abandon(device)
            if reason is None:
                raise
            raise reason from error


def _abandon(device: Device | None) -> None:
    """Leave others in the middle of a collective; the closed connections wake them."""
    if not dist.is_initialized() or device is None:
        return
    if device.is_cuda:  # NCCL would first wait for them
        distributed_c10d._abort_process_group()
    else:
        dist.destroy_process_group()


def _connect(world: World, device: Device, store_port: int) -> None:
    """torch's default process group: gloo for what is on the CPU, NCCL for what is on GPUs."""
    _name_interface(world, os.environ)
    try:
        store = dist.TCPStore(
            world.leader_address,
            store_port,
            is_master=world.rank == 0,
            wait_for_workers=False,
            timeout=_CONNECT_LIMIT,
        )
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.is_cuda else "gloo",
            store=store,
            rank=world.rank,
            world_size=world.size,
            timeout=_CONNECT_LIMIT,
        )
        dist.all_reduce(torch.zeros(1))  # every pair is connected
        distributed_c10d._set_pg_timeout(_COLLECTIVE_LIMIT)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:300]
        raise HostError(
            f"{world.host} met the other hosts but cannot connect to them ({text}): let them reach "
            "one another on every port"
        ) from error


def _name_interface(world: World, environment: MutableMapping[str, str]) -> None:
    """Say which network gloo and NCCL should use, unless the user did.

    The interface that SageMaker names need not exist (CONTRACT F: the SDK's Local Mode says ethwe).
    A host's own name may lead to its loopback.
    """
    if len(world.hosts) == 1:
        interface = "lo" if (_NETWORKS / "lo").exists() else ""
    elif (_NETWORKS / world.interface).exists():
        interface = world.interface
    else:
        interface = _interface_towards(world)
    if interface:
        environment.setdefault("GLOO_SOCKET_IFNAME", interface)
        environment.setdefault("NCCL_SOCKET_IFNAME", interface)
    # Its watchdog would kill the process before the pulse has told why.
    environment.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0")
    # Containers may share a host name, by which NCCL would take them for one machine.
    environment.setdefault("NCCL_HOSTID", world.host)


def _interface_towards(world: World) -> str:
    """The interface by which another host is reached; empty when that cannot be told."""
    import fcntl

    other = world.hosts[1 if world.host_index == 0 else 0]
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((other, world.port))  # sends nothing
            address = socket.inet_aton(probe.getsockname()[0])
            for _, name in socket.if_nameindex():
                request = name.encode().ljust(256, b"\0")
                try:
                    answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                except OSError:  # an interface without an address
                    continue
                if answer[20:24] == address:
                    return name
    except OSError:
        pass
    return ""


_SIOCGIFADDR = 0x8915  # <linux/sockios.h>

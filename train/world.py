"""World: which processes train a job together, and which of them this one is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from contract.errors import HostError
from contract.job import Cluster

# Set by train/launch.py for the processes that it starts on one host.
LOCAL_RANK, LOCAL_SIZE, PORT = "KENNEL_LOCAL_RANK", "KENNEL_LOCAL_SIZE", "KENNEL_PORT"
# Set by train/crew.py: workers of a study that share the GPU of one, or the memory of a CPU.
SHARERS = "KENNEL_DEVICE_WORKERS"
DEFAULT_PORT = 7777  # what AWS's containers use (CONTRACT A.9.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Hosts in the order of their names, and on each the same number of processes."""

    hosts: tuple[str, ...] = ("algo-1",)
    host_index: int = 0
    local_rank: int = 0
    local_size: int = 1
    interface: str = "eth0"
    port: int = DEFAULT_PORT  # of the leading host

    @property
    def rank(self) -> int:
        """Of this process, 0 to `size` - 1. Rank 0 leads."""
        return self.host_index * self.local_size + self.local_rank

    @property
    def size(self) -> int:
        """Processes of the job."""
        return len(self.hosts) * self.local_size

    @property
    def host(self) -> str:
        """The name of this host."""
        return self.hosts[self.host_index]

    @property
    def leader_address(self) -> str:
        """Where the leading process listens, as seen from here."""
        return "127.0.0.1" if self.host_index == 0 else self.hosts[0]

    def name_of(self, rank: int) -> str:
        """`host algo-2`, or `process 3 of host algo-2` where a host has several."""
        index, local = divmod(rank, self.local_size)
        host = f"host {self.hosts[index]}"
        return host if self.local_size == 1 else f"process {local} of {host}"


def world_of(cluster: Cluster, environment: Mapping[str, str] = os.environ) -> World:
    """The world of this process. Raises HostError: a port that is no port."""
    port = environment.get(PORT) or str(DEFAULT_PORT)
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise HostError(f"{PORT}: expected a port, 1 to 65535, got {port!r}")
    return World(
        hosts=tuple(sorted(cluster.hosts)),
        host_index=cluster.rank,
        local_rank=int(environment.get(LOCAL_RANK, "0")),
        local_size=int(environment.get(LOCAL_SIZE, "1")),
        interface=cluster.network_interface,
        port=int(port),
    )

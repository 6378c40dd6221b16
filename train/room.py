"""Room: how much memory one process may take for training steps, beside others on its device."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from contract.host import free_memory_bytes
from train.device import Device
from train.world import SHARERS

_LEFT_FREE = 0.1  # of a worker's part of a GPU
_CONTEXT_BYTES = 600_000_000  # of a process on a GPU, outside torch's sight: kernels, libraries
_HOST_SHARE = 0.4  # of free memory: half of it is for decoded pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What fits into one room fits into every room with the same `size`, or nearly."""

    limit_bytes: int  # of a GPU in all; of a host on top of what the process has already
    size: int  # coarse, or nothing that was measured would ever be found again
    tolerance: int = 0  # sizes that may lie between two rooms which hold the same
    sharers: int = 1

    @classmethod
    def of(
        cls, device: Device, environment: Mapping[str, str] = os.environ, *, processes: int = 1
    ) -> "Room":
        """As it is now. `processes` of the job are on this host, each with a GPU if there are."""
        sharers = max(1, int(environment.get(SHARERS, "1")))
        if not device.is_cuda:
            return cls.of_host(free_memory_bytes(), sharers * processes)
        free, total = torch.cuda.mem_get_info()
        # What torch holds is ours, whether a network lies there or nothing.
        return cls.of_gpu(free + torch.cuda.memory_reserved(), total, sharers)

    @classmethod
    def of_host(cls, free_bytes: int, sharers: int) -> "Room":
        """Sizes are powers of two: at worst what is taken is 0.8 of what is free."""
        limit = int(_HOST_SHARE * free_bytes / sharers)
        return cls(limit_bytes=limit, size=limit.bit_length(), tolerance=1, sharers=sharers)

    @classmethod
    def of_gpu(cls, free_bytes: int, total_bytes: int, sharers: int) -> "Room":
        """Rooms of one size differ by less than what is left free in each: both hold the same."""
        part = total_bytes / sharers - (_CONTEXT_BYTES if sharers > 1 else 0)
        left = max(1.0, _LEFT_FREE * part)
        room = max(0.0, min(free_bytes, part))
        return cls(
            limit_bytes=max(0, int(room - left)), size=math.floor(room / left), sharers=sharers
        )

"""Group: what the processes of a job compute together. Alone, every operation is the identity."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from typing_extensions import override

from train.world import World

# Gradients travel in pieces, so that the copy which is sent stays small beside the network.
_PIECE_ELEMENTS = 16_000_000


class Group:
    """One process that trains alone. JoinedGroup does the same for several."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()

    @property
    def is_leader(self) -> bool:
        """True in the process that decides, tells and saves."""
        return self.world.rank == 0

    @property
    def is_alone(self) -> bool:
        """True when there is nobody else."""
        return self.world.size == 1

    def any(self, flag: bool) -> bool:
        """True in all processes when it is in one."""
        return flag

    def share(self, value: Any) -> Any:
        """The leader's JSON value."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """The JSON values of all processes, by rank."""
        return [value]

    def collect(self, rows: Tensor) -> list[Tensor]:
        """The CPU tensors of all processes, by rank; an empty list for all but the leader.

        The first dimension may differ between processes; the others and the type may not.
        """
        return [rows]

    def total(self, tensor: Tensor) -> Tensor:
        """Sums `tensor` over all processes, in place, and returns it."""
        return tensor

    def send(self, data: bytes) -> bytes:
        """The leader's bytes."""
        return data

    def equalize(self, module: nn.Module) -> None:
        """Give everybody the leader's parameters and buffers."""

    def sum_gradients(self, module: nn.Module) -> None:
        """Sum the gradients of what learns; a missing one counts as zeros."""

    def await_leader(self) -> None:
        """Wait, perhaps for long, until the leader calls this too."""

    def __deepcopy__(self, memo: object) -> "Group":
        return self  # the moving average copies modules that hold a group


class JoinedGroup(Group):
    """Several processes, over torch's default process group. Collectives: all must call them."""

    def __init__(self, world: World, await_leader: Any) -> None:
        super().__init__(world)
        self._await_leader = await_leader

    @override
    def any(self, flag: bool) -> bool:
        counter = torch.tensor([int(flag)])
        dist.all_reduce(counter)
        return bool(counter.item())

    @override
    def share(self, value: Any) -> Any:
        return json.loads(self.send(json.dumps(value).encode()))

    @override
    def gather(self, value: Any) -> list[Any]:
        ours = json.dumps(value).encode()
        return [
            json.loads(self._send_from(rank, ours if rank == self.world.rank else b""))
            for rank in range(self.world.size)
        ]

    @override
    def collect(self, rows: Tensor) -> list[Tensor]:
        counts = self.gather(len(rows))
        rows = rows.contiguous()
        if not self.is_leader:
            if len(rows):
                dist.send(rows, dst=0)
            return []
        parts = [rows]
        for rank in range(1, self.world.size):
            part = torch.empty((counts[rank], *rows.shape[1:]), dtype=rows.dtype)
            if counts[rank]:
                dist.recv(part, src=rank)
            parts.append(part)
        return parts

    @override
    def total(self, tensor: Tensor) -> Tensor:
        dist.all_reduce(tensor)
        return tensor

    @override
    def send(self, data: bytes) -> bytes:
        return self._send_from(0, data)

    @override
    def equalize(self, module: nn.Module) -> None:
        for tensor in module.state_dict().values():
            plain = tensor.contiguous()  # channels-last weights are not
            dist.broadcast(plain, src=0)
            tensor.copy_(plain)

    @override
    def sum_gradients(self, module: nn.Module) -> None:
        learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for piece in _pieces(learning):
            gradients = [parameter.grad for parameter in piece if parameter.grad is not None]
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            dist.all_reduce(flat)
            for gradient, summed in zip(
                gradients, flat.split([item.numel() for item in gradients]), strict=True
            ):
                gradient.copy_(summed.view(gradient.shape))

    @override
    def await_leader(self) -> None:
        self._await_leader()

    def _send_from(self, rank: int, data: bytes) -> bytes:
        size = torch.tensor([len(data)])
        dist.broadcast(size, src=rank)
        if rank == self.world.rank:
            buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else None
        else:
            buffer = torch.empty(int(size), dtype=torch.uint8)
        if not int(size) or buffer is None:
            return b""
        dist.broadcast(buffer, src=rank)
        return buffer.numpy().tobytes()


def _pieces(parameters: Sequence[nn.Parameter]) -> Iterable[list[nn.Parameter]]:
    """Parameters of one type each, together at most a few million numbers."""
    piece: list[nn.Parameter] = []
    elements = 0
    for parameter in parameters:
        is_full = elements + parameter.numel() > _PIECE_ELEMENTS
        if piece and (is_full or parameter.dtype != piece[0].dtype):
            yield piece
            piece, elements = [], 0
        piece.append(parameter)
        elements += parameter.numel()
    if piece:
        yield piece

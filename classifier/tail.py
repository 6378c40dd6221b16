"""Tail: what a network does after its last spatial maps, taken from one forward pass.

Operations are recorded as torch carries them out, so it does not matter how a network is written.
Training's side only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from classifier.network import Network
from contract.errors import ExplainError

# A classifier's end has some ten operations. Longer ones are not an end, but most of the network:
# maps that early show edges, not reasons.
MAX_OPERATIONS = 40

Operation = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    operation: Operation
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    def inputs(self) -> list[Tensor]:
        return _tensors((self.args, self.kwargs))

    def outputs(self) -> list[Tensor]:
        return _tensors(self.result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """From the last maps to the logits, for one picture.

    Attributes:
        maps: (1, C, h, w), of the picture that was recorded.
        constants: the weights that the tail needs.
    """

    maps: Tensor
    constants: tuple[Tensor, ...]
    logits: Tensor
    steps: tuple[_Step, ...]

    def __call__(self, maps_NCHW: Tensor, constants: Sequence[Tensor]) -> Tensor:
        """Logits (1, K), from other maps and the same or other weights."""
        values = {id(self.maps): maps_NCHW}
        values |= {id(old): new for old, new in zip(self.constants, constants, strict=True)}

        def current(leaf: Any) -> Any:
            return values[id(leaf)] if isinstance(leaf, Tensor) else leaf

        for step in self.steps:
            args, kwargs = pytree.tree_map(current, (step.args, step.kwargs))
            result = args[0] if _is_nothing(step) else step.operation(*args, **kwargs)
            for old, new in zip(step.outputs(), _tensors(result), strict=True):
                values[id(old)] = new
        return values[id(self.logits)]


class _Recorder(TorchDispatchMode):
    """Keeps every operation, and every tensor alive, so that an id names one tensor only."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[_Step] = []

    def __torch_dispatch__(
        self,
        func: Operation,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        self.steps.append(_Step(operation=func, args=args, kwargs=kwargs or {}, result=result))
        return result


def find_tail(network: Network, pixels: Tensor) -> Tail:
    """The tail of `network` on one picture, uint8 (1, H, W, 3).

    Raises ExplainError: there are no spatial maps near the end.
    """
    recorder = _Recorder()
    with torch.no_grad(), recorder:
        logits = network(pixels)
    steps = recorder.steps
    made = {id(tensor) for step in steps for tensor in step.outputs()} | {id(pixels)}
    later: set[int] = set()  # tensors that the steps after the one at hand make
    needed: dict[int, Tensor] = {}  # by the steps after the one at hand
    for index in range(len(steps) - 1, len(steps) - 1 - min(len(steps), MAX_OPERATIONS + 1), -1):
        outputs = steps[index].outputs()
        if len(outputs) == 1 and _is_map(outputs[0]):
            maps = outputs[0]
            outside = [
                item for key, item in needed.items() if key not in later and item is not maps
            ]
            if not any(id(item) in made for item in outside):
                return Tail(
                    maps=maps,
                    constants=tuple(outside),
                    logits=logits,
                    steps=tuple(steps[index + 1 :]),
                )
        later |= {id(tensor) for tensor in outputs}
        needed |= {id(tensor): tensor for tensor in steps[index].inputs()}
    raise ExplainError("it has no spatial maps near its end that all of its answer depends on")


def _is_map(tensor: Tensor) -> bool:
    """Pictures are square, so maps are, too; what else has four axes (channels last) is not."""
    return tensor.ndim == 4 and tensor.shape[2] == tensor.shape[3] > 1


def _is_nothing(step: _Step) -> bool:
    """What pooling does to keep a memory layout; it has no gradient that could be exported."""
    names = (torch.ops.aten.as_strided_.default, torch.ops.aten.as_strided.default)
    return step.operation in names and list(step.args[0].shape) == list(step.args[1])


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]

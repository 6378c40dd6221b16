"""Unfilled: builds a network without drawing the random weights that are overwritten at once."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_FILLS = frozenset(
    {
        torch.ops.aten.normal_.default,
        torch.ops.aten.uniform_.default,
        torch.ops.aten.erfinv_.default,
    }
)


class Unfilled(TorchDispatchMode):
    """A context in which normal and uniform fills leave memory as it is.

    Constants (zeros, ones, buffers that are computed) are set as usual.
    """

    def __init__(self, *, is_on: bool) -> None:
        super().__init__()
        self._is_on = is_on

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        if self._is_on and func in _FILLS:
            return args[0]
        return func(*args, **(kwargs or {}))

"""Unfilled: builds a network without drawing the random weights that are overwritten at once."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_NORMAL, _UNIFORM = torch.ops.aten.normal_.default, torch.ops.aten.uniform_.default
# Standard deviations from the mean. torch draws a truncated normal again until all values lie
# between its bounds: the next one must be another.
_OFFSETS = (0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.0, -2.0)


class Unfilled(TorchDispatchMode):
    """A context in which a normal or uniform fill sets one plausible value instead of drawing.

    Constants (zeros, ones, buffers that are computed) are set as usual.
    """

    def __init__(self, *, is_on: bool) -> None:
        super().__init__()
        self._is_on, self._offsets = is_on, itertools.cycle(_OFFSETS)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        if self._is_on and func is _UNIFORM:
            low = args[1] if len(args) > 1 else 0.0
            return args[0].fill_(low)
        if self._is_on and func is _NORMAL:
            mean, std = (*args[1:3], *(0.0, 1.0)[len(args) - 1 :])
            return args[0].fill_(mean + std * next(self._offsets))
        return func(*args, **(kwargs or {}))

"""Taps: forward hooks that are on a network only while somebody looks at what flows through it.

Names are smdebug's: a module's path, the root's class for the root itself (release 1.0.34).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Save = Callable[[str, Tensor], None]
_Tapped = tuple[str, nn.Module, bool]  # is_input

_MOST_USES = 10  # of one module in one step, whose names are compared with a regex
_RELUS = (nn.ReLU, nn.ReLU6)


def plain_module(module: nn.Module) -> nn.Module:
    """The network itself where torch.compile has wrapped it: its names stay as they were."""
    inner = getattr(module, "_orig_mod", module)
    return inner if isinstance(inner, nn.Module) else module


def named(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module and its name; the root first."""
    for path, one in module.named_modules():
        yield path or _class_of(module), one


def named_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Every parameter and its name; one that several modules share has one."""
    for path, parameter in module.named_parameters():
        yield f"{_class_of(module)}_{path}", parameter


def relu_regexes(module: nn.Module, kind: str, known: Sequence[str]) -> list[str]:
    """For the inputs or outputs (`kind`) of ReLUs whose names do not say so.

    SqueezeNet's, for one, are numbers. `known`: regexes that find the others.
    """
    return [
        f"^{re.escape(name)}_{kind}_"
        for name, one in named(module)
        if isinstance(one, _RELUS)
        and not any(re.search(regex, f"{name}_{kind}_0") for regex in known)
    ]


def possible_names(module: nn.Module) -> Iterator[str]:
    """What inputs and outputs of modules may be called."""
    for name, _ in named(module):
        for use in range(_MOST_USES):
            yield f"{name}_input_{use}"
            yield f"{name}_output_{use}"


class Taps:
    """What goes in and out of the modules that somebody wants, during one forward pass."""

    def __init__(self, wants: Callable[[str], bool], save: Save) -> None:
        """`save` must not raise: it is called in the middle of a forward pass."""
        self._wants, self._save = wants, save
        self._handles: list[RemovableHandle] = []
        self._chosen: dict[tuple[nn.Module, frozenset[str]], list[_Tapped]] = {}
        self._eager = ExitStack()
        self._counts: Counter[str] = Counter()

    def put(self, module: nn.Module, due: frozenset[str]) -> None:
        """On all modules that are wanted, until `module` has answered once.

        `due`: the collections on which that depends.

        A compiled network runs as the plain one meanwhile: its compiler would take the taps for a
        part of it.
        """
        self.remove()
        self._counts.clear()
        is_compiled, module = module is not plain_module(module), plain_module(module)
        for name, one, is_input in self._wanted_in(module, due):
            if is_input:
                self._handles.append(one.register_forward_pre_hook(self._on_input(name)))
            else:
                self._handles.append(one.register_forward_hook(self._on_output(name)))
        if self._handles:
            self._handles.append(module.register_forward_hook(lambda *_: self.remove()))
            if is_compiled:
                self._eager.enter_context(torch.compiler.set_stance("force_eager"))

    def remove(self) -> None:
        """Safe to call twice."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._eager.close()

    def _wanted_in(self, module: nn.Module, due: frozenset[str]) -> list[_Tapped]:
        if (module, due) not in self._chosen:
            self._chosen[module, due] = [
                (name, one, is_input)
                for name, one in named(module)
                for is_input in (True, False)
                if self._is_wanted(f"{name}_{'input' if is_input else 'output'}_")
            ]
        return self._chosen[module, due]

    def _is_wanted(self, prefix: str) -> bool:
        return any(self._wants(f"{prefix}{use}") for use in range(_MOST_USES))

    def _on_input(self, name: str) -> Callable[..., None]:
        """Before the module runs: it may write its answer over its input (`inplace=True`)."""

        def see(_module: nn.Module, inputs: Any) -> None:
            self._see(f"{name}_input_", inputs)

        return see

    def _on_output(self, name: str) -> Callable[..., None]:
        """Right after it: the next module may write over it."""

        def see(_module: nn.Module, _inputs: Any, outputs: Any) -> None:
            self._see(f"{name}_output_", outputs)

        return see

    def _see(self, prefix: str, value: Any) -> None:
        for tensor in _tensors_in(value):
            self._save(f"{prefix}{self._counts[prefix]}", tensor)
            self._counts[prefix] += 1


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors_in(one)


def _class_of(module: nn.Module) -> str:
    return type(module).__name__

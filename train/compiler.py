"""Compiler: torch.compile of the network that learns, and what it needs of this machine."""

import torch
from torch import Tensor, nn

from contract.errors import HostError, HyperparameterError
from contract.hyperparameters import Hyperparameters
from train.device import Device
from train.group import Group


def wants_compiler(values: Hyperparameters) -> bool:
    """A head on features has nothing to gain: its steps take microseconds."""
    return values.compile and values.unfreeze != "none"


def check_compiler(device: Device, group: Group) -> None:
    """Compile a line of arithmetic, before any picture is read: only that shows that it works.

    Raises:
        HostError: it does not, with torch's own words: no compiler, no Triton, no headers.
        HyperparameterError: several processes train together. Batch norm over all of them cuts
            the network in pieces (measured: six minutes to compile what takes one otherwise).
    """
    if not group.is_alone:
        raise HyperparameterError("compile", "true", "false where several processes train together")
    numbers = torch.arange(8.0, device=device.torch, requires_grad=True)
    try:
        torch.compile(_line, dynamic=False)(numbers).backward()
    except Exception as error:  # its kinds are in modules that take seconds to import
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise HostError(
            f"compile: torch.compile does not work on this machine: {reason}; install "
            f"{'gcc' if device.is_cuda else 'g++'} and Python's headers, or set compile to false"
        ) from error


def compiled(network: nn.Module) -> nn.Module:
    """The same parameters behind code that is made when it is first called.

    Each size of batch gets code of its own, so that a run that continues in the middle of an epoch
    computes with the same code as one that was not stopped.
    """
    module: nn.Module = torch.compile(network, dynamic=False)
    return module


def _line(numbers: Tensor) -> Tensor:
    return (numbers * 2 + 1).relu().sum()

"""Device: where the network runs, in which precision, and why."""

import logging
from dataclasses import dataclass

import torch

from classifier.gpu import find_gpu
from contract.errors import HyperparameterError
from contract.host import cpu_limit

log = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A torch device and the arithmetic of the network on it."""

    torch: torch.device
    dtype: torch.dtype  # of autocast; float32 means no autocast
    cpus: int  # processors that this container may use
    why: str  # one clause for the log

    @property
    def is_cuda(self) -> bool:
        """True on an NVIDIA GPU."""
        return self.torch.type == "cuda"

    def autocast(self) -> torch.autocast:
        """The context in which the network runs forward."""
        return torch.autocast(
            self.torch.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        )


def choose_device(precision: str) -> Device:
    """The GPU when there is one, else the CPU; `auto` precision is what the device is fast in.

    Also sets torch's thread count to the container's CPU limit: torch would take the host's.

    Raises:
        HyperparameterError: a precision that the device does not have.
        HostError: the GPU's driver does not answer.
    """
    cpus = cpu_limit()
    torch.set_num_threads(cpus)
    gpu = find_gpu()
    if gpu.is_usable:
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        name = {"auto": "bf16" if has_bf16 else "fp16"}.get(precision, precision)
        torch.backends.cudnn.benchmark = True  # picture sizes never change within a job
        torch.set_float32_matmul_precision("high")
        why = f"{gpu.why}, {name}, {cpus} cpus"
        return Device(torch=torch.device("cuda"), dtype=_DTYPES[name], cpus=cpus, why=why)
    if gpu.is_broken:
        log.warning("warning: the CPU trains, not the GPU: %s", gpu.why)
    if precision == "fp16":
        raise HyperparameterError("precision", "fp16", "auto, fp32 or bf16 on a CPU")
    has_amx = torch.cpu._is_amx_tile_supported()
    name = {"auto": "bf16" if has_amx else "fp32"}.get(precision, precision)
    why = f"cpu, {name}, {cpus} cpus; {'GPU unusable' if gpu.is_broken else gpu.why}"
    return Device(torch=torch.device("cpu"), dtype=_DTYPES[name], cpus=cpus, why=why)

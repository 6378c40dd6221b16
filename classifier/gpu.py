"""Gpu: whether torch can use one here; if not, why, in words for the person who can change it."""

import ctypes
import re
import threading
import warnings
from dataclasses import dataclass

import torch

from contract.errors import HostError

# Longer than a machine with eight GPUs takes to wake its driver.
DRIVER_SECONDS = 120.0
_DRIVER_LIBRARY = "libcuda.so.1"
_MAX_CHARACTERS = 200  # of what a library says
# torch's words where there is nothing to repair: no driver, and a driver without a device.
_ABSENT = ("no NVIDIA driver", "No CUDA GPUs are available")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What was found at start."""

    is_usable: bool
    why: str  # its name; else one clause that says why not
    count: int = 0  # how many there are
    is_broken: bool = False  # there is a driver, but torch cannot use it: somebody should act


def find_gpu(seconds: float = DRIVER_SECONDS) -> Gpu:
    """Ask torch for a GPU, without the warning that it prints beside its answer.

    Raises HostError: the driver does not answer within `seconds`; torch would wait for ever.
    """
    if torch.version.cuda is None:
        return Gpu(is_usable=False, why="this torch has no CUDA")
    _wait_for_driver(seconds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same words come from init() below
        is_usable = torch.cuda.is_available()
    if is_usable:
        count = torch.cuda.device_count()
        return Gpu(is_usable=True, why=torch.cuda.get_device_name(), count=count)
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        text = " ".join(str(error).split())
        if not any(words in text for words in _ABSENT):
            return Gpu(is_usable=False, why=_trouble(text), is_broken=True)
    return Gpu(is_usable=False, why="no GPU")


def free_gpu_bytes() -> int | None:
    """What this process may still take of the GPU that it uses; None without a usable one.

    What torch keeps for later and nobody uses counts as free. Raises HostError as `find_gpu`.
    """
    if not find_gpu().is_usable:
        return None
    free, _ = torch.cuda.mem_get_info()
    return int(free) + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()


def _wait_for_driver(seconds: float) -> None:
    """Initialise the driver once, as torch is about to, in a thread that may be given up."""
    try:
        driver = ctypes.CDLL(_DRIVER_LIBRARY)
    except OSError:
        return
    # ctypes lets go of the interpreter lock meanwhile. What cuInit returns, torch will hear too.
    waking = threading.Thread(target=driver.cuInit, args=(0,), name="cuInit", daemon=True)
    waking.start()
    waking.join(seconds)
    if waking.is_alive():
        raise HostError(
            f"the NVIDIA driver has not answered for {seconds:g} s ({_DRIVER_LIBRARY}, cuInit): "
            "restart the machine or take another instance"
        )


def _trouble(text: str) -> str:
    """torch's words in one clause. It names a driver by 1000 x major + 10 x minor of its CUDA."""
    if found := re.search(r"too old \(found version (\d+)\)", text):
        major, minor = divmod(int(found[1]), 1000)
        return (
            f"the NVIDIA driver is too old: it supports CUDA {major}.{minor // 10}, torch "
            f"{torch.__version__} needs CUDA {torch.version.cuda}; update the driver, take an "
            "instance type with a newer one, or build the image with a torch for that CUDA"
        )
    reason = text[text.find("Error ") :] if "Error " in text else text
    reason = reason[:_MAX_CHARACTERS].rstrip(".")
    return f"the NVIDIA driver refuses: {reason}; see what nvidia-smi says"

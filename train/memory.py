"""Memory: what a training step frees stays with the process, for the next step to use again."""

import ctypes
import os
from collections.abc import Mapping

# Source: mallopt(3) and malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_LARGEST = 2**31 - 1  # bytes; it takes an int
_DECIDED = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_")


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell the C library not to give large blocks back to the system; False: it was not told.

    glibc maps every block of more than 32 MB anew, and the system fills it with zeros page by page
    as it is touched: a seventh of the time of fine-tuning resnet50. Kept blocks lie less densely;
    the process may become a quarter larger. The user's own settings of malloc are left alone.
    """
    tunables = environment.get("GLIBC_TUNABLES", "")
    if any(name in environment for name in _DECIDED) or "glibc.malloc" in tunables:
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:  # another C library
        return False
    is_kept = set_option(_MMAP_THRESHOLD, _LARGEST) or set_option(_MMAP_MAX, 0)
    return bool(is_kept and set_option(_TRIM_THRESHOLD, _LARGEST))


def give_back_freed_memory() -> None:
    """Return to the system what is free now, so that what is taken next can be seen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc
        trim(0)

"""PeakMemory: the most memory that this process has while something runs."""

import re
import resource
import sys
import threading
from pathlib import Path
from types import TracebackType

from contract.host import resident_bytes

_FORGET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"  # source: proc_pid_clear_refs(5)
_SECONDS = 0.005  # between two looks
# How allocators say that there is no more: torch's, C++'s, oneDNN's, NVIDIA's libraries'.
_WORDS = ("DefaultCPUAllocator", "not enough memory", "bad_alloc", "could not create a memory",
          "ALLOC_FAILED")  # fmt: skip


class PeakMemory:
    """Linux's own count where it may be set back; elsewhere looks again and again."""

    def __init__(self, forget: Path = _FORGET) -> None:
        self._forget = forget
        self._looker: threading.Thread | None = None
        self._is_over = threading.Event()
        self._most = 0

    @property
    def bytes(self) -> int:
        """From the beginning of the block to its end."""
        return self._most

    def __enter__(self) -> "PeakMemory":
        try:
            self._forget.write_text(_RESET_PEAK, encoding="ascii")
        except OSError:  # not Linux, or not allowed
            self._looker = threading.Thread(target=self._look, daemon=True)
            self._looker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._looker is None:
            found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
            self._most = int(found[1]) * 1024 if found else resident_now()
            return
        self._is_over.set()
        self._looker.join()

    def _look(self) -> None:
        while True:
            self._most = max(self._most, resident_now())
            if self._is_over.wait(_SECONDS):
                break
        self._most = max(self._most, resident_now())


def resident_now() -> int:
    """Memory that this process has; the most that it ever had where nothing better is known."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resident_bytes() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in _WORDS)

"""SystemFiles: what a host does, as SageMaker writes it: a line a value, a file a minute.

Source: what smdebug 1.0.34's readers take.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from train.profile_place import HOUR_FORMAT

_MINUTE = 60


class Reading(NamedTuple):
    """One value of one thing."""

    kind: str  # Type: cpu, gpu, memory, i/o, network
    name: str  # cpu0, gpu0, IOPS, ...
    dimension: str  # "" where there is only one
    value: float  # percent, 1/s or bytes/s


class SystemFiles:
    """Appends ticks. What is written is written: nothing waits in this process."""

    def __init__(self, system: Path, node: str) -> None:
        self._system, self._node = system, node
        self._minute = 0
        self._file: BinaryIO | None = None
        self.num_bytes = 0

    def write(self, timestamp: float, readings: Iterable[Reading]) -> None:
        """One tick: all its lines bear the same `timestamp` (Unix seconds). Raises OSError."""
        tail = f',"NodeId":"{self._node}","Timestamp":{timestamp:.6f}}}\n'
        lines = "".join(
            f'{{"Type":"{kind}","Name":"{name}","Dimension":"{dimension}","Value":{value:.2f}{tail}'
            for kind, name, dimension, value in readings
        )
        self.num_bytes += write_all(self._of_minute(timestamp), lines.encode("ascii"))

    def _of_minute(self, timestamp: float) -> BinaryIO:
        minute = int(timestamp) // _MINUTE * _MINUTE
        if self._file is not None and minute != self._minute:
            self.close()
        if self._file is None:
            hour = time.strftime(HOUR_FORMAT, time.gmtime(minute))
            path = self._system / "incremental" / hour / f"{minute}.{self._node}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file, self._minute = path.open("ab", buffering=0), minute
        return self._file

    def close(self) -> None:
        """Safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None


def write_all(file: BinaryIO, data: bytes) -> int:
    """Write to a file without a buffer, which may take a part only. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    return len(data)

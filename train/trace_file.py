"""TraceFile: spans of one process as trace events, in the files that smdebug's readers expect.

Source: smdebug 1.0.34's profiler.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from train.profile_place import CLOSED_SUFFIX, HOUR_FORMAT, OPEN_SUFFIX, ProfilePlace
from train.system_files import write_all

_MICRO = 1_000_000
_HOUR_US = 3600 * _MICRO
_BETWEEN, _END = b",\n", b"\n]"
# Of spans outside every step. smdebug's analysis looks up spans without a number among the steps
# and fails when there is none; -1 is its word for "without a number".
NO_STEP = -2


# Facts of a span within a step that stands for so many: the others were not looked into.
SPARSE: Mapping[str, Any] = {"one_in": 10}

# Time spent on something: phase, start and end (time.perf_counter_ns), step, facts. Facts go into
# the event's args, but `name` and `pid` into their places. A tuple: it is made thousands of times a
# second.
Span = tuple[str, int, int, int, Mapping[str, Any] | None]


class TraceFile:
    """Appends spans; begins a new file when one is old, large or of another hour."""

    def __init__(
        self,
        place: ProfilePlace,
        rank: int,
        *,
        rotate_seconds: float = 60.0,
        rotate_bytes: int = 10 * 2**20,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """`names`: of spans, by phase, where they are not the phase's."""
        self._names = names or {}
        self._framework, self._process = place.framework, place.process(rank)
        self._rotate_seconds, self._most = rotate_seconds, rotate_bytes
        self._pid = os.getpid()
        self._numbers: dict[str, int] = {}  # of phases, the same in all files
        # How a span of a phase is written that says nothing more, for those that this file knows.
        self._lines: dict[str, bytes] = {}
        self._sparse_lines: dict[str, bytes] = {}
        self._file: BinaryIO | None = None
        self._pending: list[bytes] = []
        # Unix microseconds: when the file's first span begins, when its first and its last one end,
        # and where its hour ends.
        self._base_us = self._opened_us = self._last_us = self._until_us = 0
        self._size = 0

    @property
    def _path(self) -> Path:
        return self._framework / f"{self._process}{OPEN_SUFFIX}"

    def write(self, spans: Iterable[Span]) -> None:
        """Append; afterwards everything is with the system. Raises OSError."""
        # What other clocks measure can be compared: this one is set anew at each writing.
        to_epoch_ns = time.time_ns() - time.perf_counter_ns()
        for phase, start_ns, end_ns, step, facts in spans:
            start_us = (start_ns + to_epoch_ns) // 1000
            # Both ends are rounded down, so that what lay within a span still does.
            end_us = (end_ns + to_epoch_ns) // 1000
            if phase not in self._lines or end_us >= self._until_us or self._size > self._most:
                self._begin(phase, start_us, end_us)
            if facts is None or facts is SPARSE:
                lines = self._lines if facts is None else self._sparse_lines
                line = lines[phase] % (start_us - self._base_us, end_us - start_us, step)
            else:
                line = self._with_facts(phase, (start_us, end_us), step, facts)
            self._pending.append(line)
            self._size += len(line)
            if end_us > self._last_us:
                self._last_us = end_us
        self._put()
        if self._file is not None and self._is_old(time.time_ns() // 1000):
            self.close()

    def close(self) -> None:
        """Give the file its final name; the next span begins another. Safe to call twice."""
        if self._file is None:
            return
        self._put()
        file, self._file = self._file, None
        self._lines.clear()
        with file:
            file.seek(-len(_BETWEEN), os.SEEK_END)
            file.truncate()
            file.write(_END)
        _publish(self._path, self._process, self._last_us)

    def give_up(self) -> None:
        """Write no more; what is there stays as it is. Safe to call twice."""
        self._pending.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self, phase: str, start_us: int, end_us: int) -> None:
        """Have a file that may take a span and whose readers know its phase."""
        is_full = self._size > self._most or end_us >= self._until_us
        if self._file is not None and is_full:
            self.close()
        if self._file is None:
            self._open(start_us, end_us)
        if phase not in self._lines:
            number = self._numbers.setdefault(phase, len(self._numbers) + 1)  # 0 is the file's own
            self._describe(number, {"name": phase})
            head = self._head(phase, self._names.get(phase, phase)).replace(b"%", b"%%")
            tail = b'%%d,"dur":%%d,"args":{"pid":%d,"step_num":"%%d"' % self._pid
            self._lines[phase] = head + tail + b"}},\n"
            more = json.dumps(dict(SPARSE))[1:].encode()
            self._sparse_lines[phase] = head + tail + b"," + more + b"},\n"

    def _with_facts(
        self, phase: str, times_us: tuple[int, int], step: int, facts: Mapping[str, Any]
    ) -> bytes:
        name = facts.get("name", self._names.get(phase, phase))
        more = {key: fact for key, fact in facts.items() if key not in ("name", "pid")}
        args = {"pid": facts.get("pid", self._pid), "step_num": str(step), **more}
        start_us, end_us = times_us
        rest = b'%d,"dur":%d,"args":%b},\n' % (
            start_us - self._base_us,
            end_us - start_us,
            json.dumps(args).encode(),
        )
        return self._head(phase, name) + rest

    def _head(self, phase: str, name: str) -> bytes:
        number = self._numbers[phase]
        return b'{"name":%b,"pid":%d,"ph":"X","ts":' % (json.dumps(name).encode(), number)

    def _open(self, start_us: int, end_us: int) -> None:
        self._framework.mkdir(parents=True, exist_ok=True)
        # Without a buffer: a forked loader worker would have a copy of it.
        self._file = self._path.open("wb", buffering=0)
        self._base_us, self._until_us = start_us, (end_us // _HOUR_US + 1) * _HOUR_US
        self._opened_us, self._last_us, self._size = end_us, end_us, 0
        self._lines.clear()
        since = {"start_time_since_epoch_in_micros": start_us, "pid": self._pid}
        self._pending.append(b"[\n")
        self._describe(0, since)

    def _describe(self, number: int, facts: Mapping[str, Any]) -> None:
        for name, args in (("process_name", facts), ("process_sort_index", {"sort_index": number})):
            line = json.dumps({"name": name, "ph": "M", "pid": number, "args": args})
            self._pending.append(line.encode() + b",\n")
            self._size += len(line)

    def _put(self) -> None:
        if self._file is not None:
            write_all(self._file, b"".join(self._pending))
        self._pending.clear()

    def _is_old(self, now_us: int) -> bool:
        return now_us - self._opened_us > self._rotate_seconds * _MICRO


def complete(path: Path) -> Path | None:
    """Make a whole file of one whose process died; its new path.

    A line that was cut off is left out. None: it held no span, and is gone. Raises OSError.
    """
    lines = [line for line in path.read_bytes().splitlines() if line.endswith(b"},")]
    spans = [event for event in map(_parse, lines) if event.get("ph") == "X"]
    if not spans:
        path.unlink()
        return None
    base_us = _parse(lines[0])["args"]["start_time_since_epoch_in_micros"]
    last_us = base_us + max(span["ts"] + span["dur"] for span in spans)
    path.write_bytes(b"[\n" + b"\n".join(lines).removesuffix(b",") + _END)
    return _publish(path, path.name.removesuffix(OPEN_SUFFIX), last_us)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a timeline, complete or not, line by line. Raises OSError."""
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b"{") and line.rstrip(b",\n").endswith(b"}"):
                yield _parse(line)


def _parse(line: bytes) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(line.rstrip(b",\n"))
    return event


def _publish(path: Path, process: str, last_us: int) -> Path:
    hour = time.strftime(HOUR_FORMAT, time.gmtime(last_us // _MICRO))
    folder = path.parent / "pevents" / hour
    folder.mkdir(parents=True, exist_ok=True)
    while (target := folder / f"{last_us}_{process}{CLOSED_SUFFIX}").exists():
        last_us += 1
    path.replace(target)
    return target

"""Timelines as smdebug's hook, Horovod and our own training write them: Chrome trace events.

A file is one JSON array. Each phase is a made-up process in it, named by a record before the
phase's first event; times are microseconds after the moment that the first record names.
A file of a job that still runs, or that was killed, has no end; what is whole in it counts.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from debugger.profile.data import Events

# <end in microseconds>_<process>-<host>_<kind>.json, or while it grows <process>-<host>_<kind>
# .json.tmp.
_CLOSED = re.compile(r"\d+_([^_]+)_(.+)\.json")
_OPEN = re.compile(r"([^_]+)_(.+)\.json\.tmp")
_NODE = re.compile(r"(\d+)-(.+)")
_OTHERS = {"horovod_timeline": "horovod", "smdataparallel_timeline": "smdataparallel"}
_BASE = "start_time_since_epoch_in_micros"
UNKNOWN = "Unknown"  # phase of an event whose phase was never named

_Event = dict[str, Any]


@dataclass(kw_only=True)
class _Columns:
    """What is kept of the events, column by column; equal texts and arguments are kept once."""

    starts: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    arguments: list[Mapping[str, object]] = field(default_factory=list)
    known: dict[Any, Any] = field(default_factory=dict)

    def add(self, start: float, seconds: float, phase: str, node: str, event: _Event) -> None:
        """`event` gives name and arguments."""
        name: str = event.get("name") or ""
        arguments = event.get("args") or {}
        self.starts.append(start)
        self.seconds.append(seconds)
        self.phases.append(phase)
        self.names.append(self.known.setdefault(name, name))
        self.nodes.append(node)
        self.pids.append(_whole(arguments.get("pid")))
        self.steps.append(_whole(arguments.get("step_num")))
        self.arguments.append(self._shared(arguments))

    def _shared(self, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Thousands of operators of a step have the same arguments."""
        if len(arguments) > 4:
            return arguments
        try:
            known: Mapping[str, object] = self.known.setdefault(
                (*arguments, *arguments.values()), arguments
            )
        except TypeError:  # a list or an object among them
            return arguments
        return known

    def events(self) -> Events:
        """In the order of their start; whatever starts together keeps its order in the files."""
        starts = np.array(self.starts, dtype=np.float64)
        order = np.argsort(starts, kind="stable")
        return Events(
            starts=starts[order],
            seconds=np.array(self.seconds, dtype=np.float64)[order],
            phases=_objects(self.phases)[order],
            names=_objects(self.names)[order],
            nodes=_objects(self.nodes)[order],
            pids=np.array(self.pids, dtype=np.int64)[order],
            steps=np.array(self.steps, dtype=np.int64)[order],
            arguments=tuple(map(self.arguments.__getitem__, order.tolist())),
        )


def find_timeline_files(folder: Path) -> list[Path]:
    """Below a profiler folder: closed ones, and those that still grow or never will."""
    closed = (folder / "framework" / "pevents").rglob("*.json")
    growing = (folder / "framework").rglob("*.json.tmp")
    return sorted(
        [path for path in closed if _CLOSED.fullmatch(path.name)]
        + [path for path in growing if _OPEN.fullmatch(path.name)]
    )


def read_timeline_files(paths: Sequence[Path]) -> tuple[Events, list[str]]:
    """All events, and notes on what could not be read.

    3 to 4 s for a million events. Events of Horovod and of SageMaker's data parallel
    library have `source` among their arguments.
    """
    columns, notes = _Columns(), []
    for path in paths:
        match = _CLOSED.fullmatch(path.name) or _OPEN.fullmatch(path.name)
        assert match  # find_timeline_files saw to it
        try:
            data = path.read_bytes()
        except OSError as error:
            notes.append(f"{path}: {error.strerror or error}")
            continue
        found, num_bad = _parse(data)
        num_bad += _add(columns, found, node_of(match[1]), _OTHERS.get(match[2], ""))
        if num_bad:
            notes.append(f"{path}: {num_bad} events cannot be read; they are left out")
    return columns.events(), notes


def node_of(written: str) -> str:
    """`26-algo-1`, as a file is called, becomes `algo-1-26`, as smdebug's readers say."""
    match = _NODE.fullmatch(written)
    return f"{match[2]}-{match[1]}" if match else written


def host_of(node: str) -> str:
    """`algo-1` of the process `algo-1-26`."""
    host, _, process = node.rpartition("-")
    return host if host and process.isdigit() and _looks_like_a_host(host) else node


def _looks_like_a_host(host: str) -> bool:
    return host != "algo"  # algo-1 is a host by itself


def _parse(data: bytes) -> tuple[Iterable[Any], int]:
    """The records, and how many lines that should be one are not."""
    try:
        found = json.loads(data)
        return (found, 0) if isinstance(found, list) else ((), 1)
    except ValueError:
        return _parse_lines(data)


def _parse_lines(data: bytes) -> tuple[list[Any], int]:
    """A record a line; the last line may be half of one."""
    found, num_bad = [], 0
    lines = data.split(b"\n")
    for number, line in enumerate(lines):
        text = line.strip().rstrip(b",").strip()
        if text in (b"", b"[", b"]"):
            continue
        try:
            found.append(json.loads(text.removeprefix(b"[").removesuffix(b"]")))
        except ValueError:
            num_bad += number < len(lines) - 1
    return found, num_bad


def _add(columns: _Columns, records: Iterable[Any], node: str, source: str) -> int:
    """Add what is an event. Returns how many records look like one and are none."""
    base, phases, num_bad = 0.0, dict[object, str](), 0
    mark = {"source": source} if source else {}
    for event in _spans(records):
        try:
            kind = event.get("ph")
            if kind == "M":
                base = _described(event, phases, columns, base)
            elif kind == "X":
                if mark:
                    event["args"] = {**(event.get("args") or {}), **mark}
                start, seconds = (base + event["ts"]) / 1e6, event["dur"] / 1e6
                if seconds < 0:
                    raise ValueError
                columns.add(start, seconds, phases.get(event["pid"], UNKNOWN), node, event)
        except (KeyError, TypeError, ValueError, AttributeError):
            num_bad += 1
    return num_bad


def _described(event: _Event, phases: dict[object, str], columns: _Columns, base: float) -> float:
    """Note the name of a phase. Returns the moment that times count from, in microseconds."""
    arguments = event.get("args") or {}
    if event.get("name") == "process_name" and "name" in arguments:
        name = str(arguments["name"])
        phases[event["pid"]] = columns.known.setdefault(name, name)
    return float(arguments.get(_BASE, base))


def _spans(records: Iterable[Any]) -> Iterator[_Event]:
    """Begin and end become one record; one without the other is left out, as smdebug does."""
    begun: dict[tuple[object, object], list[_Event]] = {}
    for event in records:
        kind = event.get("ph") if isinstance(event, dict) else None
        if kind not in ("B", "E"):
            yield event
            continue
        stack = begun.setdefault((event.get("pid"), event.get("tid")), [])
        if kind == "B":
            stack.append(event)
        elif stack:
            first = stack.pop()
            arguments = {**(first.get("args") or {}), **(event.get("args") or {})}
            seconds = event.get("ts", 0) - first.get("ts", 0)
            yield {**first, "ph": "X", "dur": seconds, "args": arguments}


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return -1


def _objects(texts: list[str]) -> Any:
    array = np.empty(len(texts), dtype=np.object_)
    array[:] = texts
    return array

"""RunTrace: a host's whole profile as one trace, for ui.perfetto.dev or chrome://tracing.

Source: Chrome's Trace Event Format.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contract.files import replacing
from train.profile_place import TRACE_NAME, ProfilePlace
from train.trace_file import read_events

MOST_SPANS = 200_000  # browsers become slow; the timelines keep all
MOST_TICKS = 7_200  # an hour at the usual interval
_ZIP_LEVEL = 4
_STEPS = "steps"
# Rows of a process, by phase; all others share one of their own name.
_ROWS = {
    "Epoch": "epochs",
    "Step:ModeKeys.TRAIN": _STEPS,
    "Step:ModeKeys.EVAL": _STEPS,
    "DataLoaderIter": "phases of a step",
    "DataLoaderIterInitialize": "phases of a step",
    "Copy": "phases of a step",
    "Forward": "phases of a step",
    "Backward(post-forward)": "phases of a step",
    "Optimizer": "phases of a step",
    "Evaluate": "around the steps",
    "Checkpoint": "around the steps",
    "FeaturePass": "around the steps",
    "Decode": "around the steps",
}
_ORDER = ("epochs", "around the steps", _STEPS, "phases of a step")
_HOST = 1  # the process number of the host's own counters; no process of a job has it but init
_DIMENSIONS = {"CPUUtilization": "CPU %", "I/OWaitPercentage": "CPU waits for disks %"}


def write_run_trace(place: ProfilePlace, *, most_spans: int = MOST_SPANS) -> dict[str, int]:
    """Write trace.json.gz; how many spans are in it and how many are not. Raises HostError."""
    trace = _RunTrace(place, most_spans)
    path = place.framework / TRACE_NAME
    with replacing(path) as temporary, gzip.open(temporary, "wb", _ZIP_LEVEL) as file:
        file.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')
        separator = b""
        for event in trace.events():
            file.write(separator + json.dumps(event, separators=(",", ":")).encode())
            separator = b",\n"
        about = {"node": place.node, "spans": trace.num_spans, "spans_left_out": trace.num_left_out}
        file.write(b'\n],"otherData":' + json.dumps(about).encode() + b"}\n")
    return {"spans": trace.num_spans, "spans_left_out": trace.num_left_out}


class _RunTrace:
    """Turns phases, which smdebug's files have as processes, into rows of real processes."""

    def __init__(self, place: ProfilePlace, most_spans: int) -> None:
        self._place, self._most_spans = place, most_spans
        self.num_spans = self.num_left_out = 0
        self._rows: dict[tuple[int, str], int] = {}
        self._base_us: int | None = None

    def events(self) -> Iterator[dict[str, Any]]:
        """Names before what they name; times in microseconds since the first tick or file."""
        yield from self._counters()
        for path in self._place.closed_timelines():
            yield from self._spans(path)
        if self.num_left_out:
            name = f"the first {self.num_spans:,} spans; {self.num_left_out:,} more are in pevents"
            yield {"name": name, "ph": "i", "s": "g", "ts": 0, "pid": _HOST, "tid": 0}

    def _spans(self, path: Path) -> Iterator[dict[str, Any]]:
        process = path.name.split("_")[1]
        phases: dict[int, str] = {}
        start_us, main = 0, 0
        for event in read_events(path):
            args = event.get("args", {})
            if event["ph"] == "M" and "start_time_since_epoch_in_micros" in args:
                start_us, main = args["start_time_since_epoch_in_micros"], args.get("pid", 0)
                self._base_us = start_us if self._base_us is None else self._base_us
            elif event["ph"] == "M" and "name" in args:
                phases[event["pid"]] = args["name"]
            elif event["ph"] == "X" and self.num_spans >= self._most_spans:
                self.num_left_out += 1
            elif event["ph"] == "X":
                self.num_spans += 1
                phase, pid = phases.get(event["pid"], "other"), args.pop("pid", main)
                yield from self._name(process, pid, pid == main, row := _row_of(phase, args))
                yield {
                    "name": event["name"],
                    "ph": "X",
                    "ts": event["ts"] + start_us - (self._base_us or 0),
                    "dur": event["dur"],
                    "pid": pid,
                    "tid": self._rows[pid, row],
                    "args": args,
                }

    def _name(self, process: str, pid: int, is_main: bool, row: str) -> Iterator[dict[str, Any]]:
        """What a process and its row are called, when they are new."""
        if (pid, row) in self._rows:
            return
        if not any(known == pid for known, _ in self._rows):
            rank, _, node = process.partition("-")
            who = f"{node} process {rank}" if is_main else f"{node} process {rank}: loader worker"
            yield _names("process_name", pid, 0, who)
            yield _sorts("process_sort_index", pid, 0, 0 if is_main else 1)
        number = self._rows[pid, row] = len(self._rows) + 1
        yield _names("thread_name", pid, number, row)
        place = _ORDER.index(row) if row in _ORDER else len(_ORDER) + number
        yield _sorts("thread_sort_index", pid, number, place)

    def _counters(self) -> Iterator[dict[str, Any]]:
        """Curves of the host: means over cores, the others as they are; fewer where many."""
        ticks = [tick for path in self._place.system_files() for tick in _ticks(path)]
        if ticks:
            self._base_us = round(ticks[0][0] * 1e6)
            yield _names("process_name", _HOST, 0, f"host {self._place.node}")
            yield _sorts("process_sort_index", _HOST, 0, -1)
        for timestamp, values in ticks[:: len(ticks) // MOST_TICKS + 1]:
            for name, found in values.items():
                yield {
                    "name": name,
                    "ph": "C",
                    "ts": round(timestamp * 1e6) - (self._base_us or 0),
                    "pid": _HOST,
                    "args": {"value": round(sum(found) / len(found), 2)},
                }


def _row_of(phase: str, args: dict[str, Any]) -> str:
    if phase == "cpu_functions":
        return f"operators, thread {args.get('tid', 0)}"
    if phase.startswith("gpu_functions"):
        return f"GPU {phase.rpartition(':')[2]}, stream {args.get('tid', 0)}"
    return _ROWS.get(phase, phase)


def _ticks(path: Path) -> Iterator[tuple[float, dict[str, list[float]]]]:
    values: dict[str, list[float]] = {}
    timestamp = 0.0
    for line in read_events(path):
        if line["Timestamp"] != timestamp and values:
            yield timestamp, values
            values = {}
        timestamp = line["Timestamp"]
        if line["Dimension"] == "Platform":
            continue
        name = _DIMENSIONS.get(line["Dimension"], line["Name"])
        if line["Type"] == "gpu":
            name = f"{line['Name']} {line['Dimension']}"
        values.setdefault(name, []).append(line["Value"])
    if values:
        yield timestamp, values


def _names(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}


def _sorts(kind: str, pid: int, tid: int, place: int) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": pid, "tid": tid, "args": {"sort_index": place}}

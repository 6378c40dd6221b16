"""System metrics as the host agents write them: one JSON object a line, a file a minute and host.

AWS's agent and ours write the same lines. A file that is still being written, or whose writer was
killed, ends in half a line; that is no error. Anything else that cannot be read becomes a note.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from debugger.profile.data import FloatArray, NodeMetrics, Series

# The order in which all known agents write the fields; other lines take the slow way.
_LINE = re.compile(
    rb'\{"Type": ?"([^"\\]*)", ?"Name": ?"([^"\\]*)", ?"Dimension": ?"([^"\\]*)", ?'
    rb'"Value": ?([-+.\deE]+), ?"NodeId": ?"([^"\\]*)", ?"Timestamp": ?([-+.\deE]+)\}'
)
_NAME = re.compile(r"(\d{10})\.(.+)\.json")
_BY_DIMENSION = (b"cpu", b"gpu")  # their metric is the dimension; that of the others is the name
_NOT_OURS = b"Platform"  # traffic of the service, not of the job

# Type, name, dimension, value, node, time: as the regular expression finds them.
_Row = tuple[bytes, bytes, bytes, bytes, bytes, bytes]
_Key = tuple[bytes, bytes, bytes, bytes]


def find_system_files(folder: Path) -> list[tuple[int, Path]]:
    """(first second of its minute, file) below a profiler folder, with or without hour folders."""
    found = []
    for path in (folder / "system").rglob("*.json"):
        if match := _NAME.fullmatch(path.name):
            found.append((int(match[1]), path))
    return sorted(found)


def read_system_files(paths: Sequence[Path]) -> tuple[dict[str, NodeMetrics], list[str]]:
    """Metrics by node, and notes on what could not be read. 2 to 3 s for a million lines."""
    columns: defaultdict[_Key, tuple[list[bytes], list[bytes]]] = defaultdict(lambda: ([], []))
    notes: list[str] = []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            notes.append(f"{path}: {error.strerror or error}")
            continue
        for kind, name, dimension, value, node, time in _rows(path, data, notes):
            times, values = columns[kind, name, dimension, node]
            times.append(time)
            values.append(value)
    return _by_node(columns, notes), notes


def _rows(path: Path, data: bytes, notes: list[str]) -> list[_Row]:
    rows: list[_Row] = _LINE.findall(data)
    if len(rows) < data.count(b"\n") + (not data.endswith(b"\n") and bool(data)):
        rows = list(_slow_rows(path, data, notes))
    return rows


def _slow_rows(path: Path, data: bytes, notes: list[str]) -> Iterator[_Row]:
    """Line by line, whatever the order of the fields."""
    node = _NAME.fullmatch(path.name)[2]  # type: ignore[index]  # found by that pattern
    lines = data.split(b"\n")
    bad = 0
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
            yield _row(given, node)
        except (ValueError, TypeError, KeyError, AttributeError):
            bad += number < len(lines) - 1  # the last one may be half of what it will be
    if bad:
        notes.append(f"{path}: {bad} of {len(lines)} lines cannot be read; they are left out")


def _row(given: dict[str, object], node: str) -> _Row:
    texts = [str(given.get(name) or "").encode() for name in ("Type", "Name", "Dimension")]
    numbers = [str(float(given[name])).encode() for name in ("Value", "Timestamp")]  # type: ignore[arg-type]
    return (*texts, numbers[0], str(given.get("NodeId") or node).encode(), numbers[1])  # type: ignore[return-value]


def _by_node(
    columns: dict[_Key, tuple[list[bytes], list[bytes]]], notes: list[str]
) -> dict[str, NodeMetrics]:
    nodes: defaultdict[str, defaultdict[str, dict[str, Series]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for (kind, name, dimension, node), (times, values) in columns.items():
        if dimension == _NOT_OURS:
            continue
        metric = (dimension if kind in _BY_DIMENSION else name).decode(errors="replace")
        series = _series(_floats(times), _floats(values))
        if len(series.times) < len(times):
            notes.append(f"{metric} of {node.decode()}: values that are no numbers are left out")
        nodes[node.decode(errors="replace")][metric][name.decode(errors="replace")] = series
    return {
        node: NodeMetrics(series={metric: in_order(found) for metric, found in metrics.items()})
        for node, metrics in sorted(nodes.items())
    }


def in_order(named: dict[str, Series]) -> dict[str, Series]:
    """cpu2 before cpu10."""
    return dict(sorted(named.items(), key=lambda item: (len(item[0]), item[0])))


def _floats(texts: list[bytes]) -> FloatArray:
    try:
        return np.array(texts, dtype=np.bytes_).astype(np.float64)
    except ValueError:  # 1.2.3 or a lone minus
        return np.array([_float(text) for text in texts])


def _float(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _series(times: FloatArray, values: FloatArray) -> Series:
    good = np.isfinite(times) & np.isfinite(values)
    times, values = times[good], values[good]
    order = np.argsort(times, kind="stable")
    return Series(times=times[order], values=values[order])

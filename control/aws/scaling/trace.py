"""Traces: how many requests come in each second, from a file or of a usual shape."""

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contract.errors import UsageError
from contract.strict import nearest

HEADER = ("seconds", "requests_per_second")
LONGEST_SECONDS = 31 * 86_400
HOUR, DAY = 3600, 86_400
_TIME_HEADER = re.compile(r"time|timestamp|date|seconds", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Traffic, second by second."""

    name: str
    rates: tuple[float, ...]  # requests that come in each second

    @property
    def peak(self) -> float:
        """Requests in the fullest minute, a second: what instances are counted for."""
        totals = [0.0]
        for rate in self.rates:
            totals.append(totals[-1] + rate)
        width = min(60, len(self.rates))
        return max((high - low) / width for high, low in zip(totals[width:], totals, strict=False))


def _steady(_: float) -> float:
    return 1.0


def _ramp(share: float) -> float:
    """A tenth of the peak, up to it over half of the time, and back."""
    return 0.1 + 0.9 * max(0.0, 1 - abs(2 * share - 1))


def _spike(share: float) -> float:
    """A tenth of the peak; for an eighth of the time, all of it at once."""
    return 1.0 if 0.375 <= share < 0.5 else 0.1


def _day(share: float) -> float:
    """Quiet at night, busiest in the early evening, with a smaller hill before noon."""
    hour = 24 * share
    evening = math.exp(-(((hour - 19) / 3.2) ** 2))
    morning = 0.6 * math.exp(-(((hour - 10.5) / 2.4) ** 2))
    return 0.05 + 0.95 * min(1.0, evening + morning)


SHAPES: Mapping[str, tuple[Callable[[float], float], int]] = {
    "steady": (_steady, HOUR),
    "ramp": (_ramp, 4 * HOUR),
    "spike": (_spike, 2 * HOUR),
    "day": (_day, DAY),
}


def shaped(name: str, peak: float, seconds: int | None = None) -> Trace:
    """A usual shape whose fullest second has `peak` requests. Raises UsageError."""
    if name not in SHAPES:
        near = nearest(name, list(SHAPES))
        hint = f"did you mean {near!r}?" if near else f"shapes: {', '.join(SHAPES)}"
        raise UsageError(f"no file and no shape is called {name!r}; {hint}")
    shape, usual = SHAPES[name]
    length = usual if seconds is None else seconds
    if not (0 < peak <= 1e6 and 60 <= length <= LONGEST_SECONDS):
        raise UsageError("a shape needs a peak above 0 and from a minute to 31 days")
    rates = tuple(peak * shape(second / length) for second in range(length))
    return Trace(name=f"{name}, up to {peak:g} a second", rates=rates)


def read_trace(path: Path) -> Trace:
    """A CSV file: `seconds,requests_per_second`, or one column of times of requests.

    In the first form a rate holds until the next row's second; the last one as long as the one
    before it. Times are seconds, or dates as ISO 8601 writes them.

    Raises UsageError, with the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = [(number, row) for number, row in enumerate(csv.reader(lines), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as CSV: {error}") from None
    if not rows:
        raise UsageError(f"{path} is empty: expected the columns {','.join(HEADER)}")
    if len(rows[0][1]) == 1:
        rates = _counted(path, rows)
    else:
        rates = _listed(path, rows)
    return Trace(name=path.name, rates=rates)


def _listed(path: Path, rows: list[tuple[int, list[str]]]) -> tuple[float, ...]:
    header = tuple(cell.strip() for cell in rows[0][1])
    if header != HEADER:
        raise UsageError(
            f"{path}: line {rows[0][0]}: expected {','.join(HEADER)}, got {','.join(header)!r}"
        )
    points = [_point(path, number, row) for number, row in rows[1:]]
    if len(points) < 2:
        raise UsageError(f"{path}: expected two rows or more below the header")
    last = 2 * points[-1][0] - points[-2][0]
    rates: list[float] = []
    for (begin, rate), (end, _) in zip(points, [*points[1:], (last, 0.0)], strict=True):
        if end <= begin:
            raise UsageError(f"{path}: seconds must grow, got {end} after {begin}")
        if end - points[0][0] > LONGEST_SECONDS:
            raise UsageError(f"{path}: expected at most 31 days")
        rates.extend([rate] * (end - begin))
    return tuple(rates)


def _point(path: Path, number: int, row: list[str]) -> tuple[int, float]:
    try:
        second, rate = float(row[0]), float(row[1])
    except (ValueError, IndexError):
        second = rate = -1.0
    is_second = math.isfinite(second) and second >= 0 and second == int(second)
    if len(row) != 2 or not is_second or not 0 <= rate <= 1e6:
        raise UsageError(
            f"{path}: line {number}: expected a whole second and a rate, got {','.join(row)!r}"
        )
    return int(second), rate


def _counted(path: Path, rows: list[tuple[int, list[str]]]) -> tuple[float, ...]:
    body = rows[1:] if _TIME_HEADER.fullmatch(rows[0][1][0].strip()) else rows
    times = sorted(_times(path, body))
    if not times:
        raise UsageError(f"{path}: expected the time of one request a line")
    if times[-1] - times[0] > LONGEST_SECONDS:
        raise UsageError(f"{path}: expected at most 31 days")
    begin = math.floor(times[0])
    counts = [0.0] * max(60, math.floor(times[-1]) - begin + 1)
    for time in times:
        counts[math.floor(time) - begin] += 1
    return tuple(counts)


def _times(path: Path, rows: list[tuple[int, list[str]]]) -> Iterator[float]:
    for number, row in rows:
        time = _time(row[0].strip())
        if not math.isfinite(time):
            raise UsageError(
                f"{path}: line {number}: expected seconds or a date such as "
                f"2026-11-28T05:15:00, got {row[0]!r}"
            )
        yield time


def _time(text: str) -> float:
    """Seconds; not a number for what is no time."""
    for read in (float, lambda date: datetime.fromisoformat(date).timestamp()):
        try:
            return read(text)
        except ValueError:
            continue
    return math.nan

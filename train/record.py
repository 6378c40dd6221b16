"""Record: what is kept of a trial besides its objective."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(kw_only=True)
class Record:
    """It grows while the trial runs."""

    metrics: dict[str, float] = field(default_factory=dict)  # of its best epoch, and on test
    curves: list[dict[str, float]] = field(default_factory=list)  # a row an epoch
    seconds: float = 0.0
    started_at: str = field(default_factory=_now)  # ISO 8601, UTC
    worker: str = ""  # who ran it: host and process, for a person
    reason: str | None = None  # why it failed or was stopped

    def next_session(self, worker: str) -> "Record":
        """As a trial that was interrupted goes on, or begins; its epochs are told again."""
        return Record(worker=worker, seconds=self.seconds, started_at=self.started_at)

    def take(self, metrics: Mapping[str, float], rows: Iterable[Mapping[str, Any]]) -> None:
        """What the worker says of the whole trial, earlier sessions included."""
        self.metrics, self.curves = finite(metrics), [curve_row(row) for row in rows]


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without what JSON has no word for: NaN and infinity."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def curve_row(row: Mapping[str, Any]) -> dict[str, float]:
    """An epoch's figures in one level: `epoch`, `seconds`, `learning_rate` and the metrics."""
    plain = {name: row[name] for name in ("epoch", "seconds", "learning_rate")}
    return finite({**plain, **row["metrics"]})

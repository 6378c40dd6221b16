"""metrics.csv and metrics.jsonl: one row an epoch, whole after every epoch."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.files import write_text
from contract.metrics import METRIC_BY_NAME

CSV_NAME = "metrics.csv"
JSONL_NAME = "metrics.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """What one epoch measured."""

    epoch: int  # from 1
    seconds: float  # of this epoch, evaluation included
    learning_rate: float  # at its last step
    metrics: dict[str, float]  # by the names of contract.metrics


def write_metrics(folder: Path, rows: Sequence[EpochRow]) -> None:
    """Write both files anew. A number that is not finite is an empty cell and a JSON null."""
    names = _columns(rows)
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["epoch", "seconds", "learning_rate", *names])
    lines = []
    for row in rows:
        record = {
            "epoch": row.epoch,
            "seconds": _finite(row.seconds),
            "learning_rate": _finite(row.learning_rate),
            **{name: _finite(row.metrics[name]) for name in names if name in row.metrics},
        }
        table.writerow(["" if (cell := record.get(key)) is None else cell for key in _keys(names)])
        lines.append(json.dumps(record, allow_nan=False) + "\n")
    write_text(folder / CSV_NAME, buffer.getvalue())
    write_text(folder / JSONL_NAME, "".join(lines))


def _columns(rows: Sequence[EpochRow]) -> list[str]:
    """The metrics of all rows, in the table's order, names outside of it last."""
    present = {name for row in rows for name in row.metrics}
    known = [name for name in METRIC_BY_NAME if name in present]
    return known + sorted(present - METRIC_BY_NAME.keys())


def _keys(names: list[str]) -> list[str]:
    return ["epoch", "seconds", "learning_rate", *names]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

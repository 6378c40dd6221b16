"""JobFiles: what a job left behind, as far as it left it. Nothing that is missing is an error."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import KennelError
from contract.rule_result import REPORT_NAME, RULE_OUTPUT, RuleResult

RUN_NAME = "run.json"  # what `kennel run` keeps of a job
_DATA = ("output/data", "output", ".")  # output/data in a job's folder; else unpacked somewhere
_SPLITS = ("test", "validation")
_DATA_MARKS = ("metrics.csv", "config.json", "predictions_test.csv", "predictions_validation.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How many pictures of a split the kept network got right."""

    split: str
    right: int
    pictures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """A job's folder, read."""

    source: Path
    data: Path | None  # with metrics.csv, confusion.png, ...
    name: str
    status: str = ""  # Completed, Failed, ...; empty where nobody says
    failure: str = ""  # the reason, one line
    started_at: str = ""
    seconds: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)  # the last value of each
    epochs: Sequence[Mapping[str, float]] = ()  # rows of metrics.csv
    scores: Sequence[Score] = ()
    results: Sequence[RuleResult] = ()
    notes: Sequence[str] = ()  # what is there and could not be read

    def picture(self, name: str) -> bytes | None:
        """A file of output/data; None where it is missing."""
        path = self.data / name if self.data else None
        return path.read_bytes() if path is not None and path.is_file() else None


def read_job_files(source: Path) -> JobFiles:
    """Read a job's folder: a run's, /opt/ml, or its prefix as it was downloaded."""
    notes: list[str] = []
    run = _read_object(source / RUN_NAME, notes)
    data = _find_data(source)
    config = _read_object(data / "config.json", notes) if data else {}
    told = _read_object(source / "input/config/hyperparameters.json", notes)
    given = config.get("hyperparameters") or run.get("hyperparameters") or told
    epochs = _read_rows(data / "metrics.csv") if data else []
    failure = _read_failure(source) or str(run.get("failure_reason") or "")
    metrics = {**_last(epochs), **_numbers(run.get("metrics") or {})}
    return JobFiles(
        source=source,
        data=data,
        name=str(run.get("name") or config.get("job") or source.resolve().name),
        status=str(run.get("status") or ("Failed" if failure else "")),
        failure=" ".join(failure.split()),
        started_at=str(run.get("started_at") or ""),
        seconds=run["seconds"] if isinstance(run.get("seconds"), int | float) else None,
        versions=_texts(config.get("versions")),
        hyperparameters=_texts(given),
        channels=_texts(run.get("channels") or config.get("channels")),
        metrics=metrics,
        epochs=epochs,
        scores=_read_scores(data) if data else (),
        results=_read_results(source / RULE_OUTPUT, notes),
        notes=notes,
    )


def _find_data(source: Path) -> Path | None:
    folders = [source / one for one in _DATA]
    return next(
        (one for one in folders if any((one / mark).is_file() for mark in _DATA_MARKS)), None
    )


def _read_object(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return {}
    return found if isinstance(found, dict) else {}


def _read_failure(source: Path) -> str:
    path = source / "output" / "failure"
    try:
        return path.read_bytes()[:4096].decode("utf-8", "replace")
    except OSError:
        return ""


def _read_rows(path: Path) -> list[dict[str, float]]:
    """Rows of metrics.csv: numbers only; empty cells are left out."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [_numbers(row) for row in csv.DictReader(file)]
    return [row for row in rows if "epoch" in row]


def _read_scores(data: Path) -> list[Score]:
    scores = []
    for split in _SPLITS:
        path = data / f"predictions_{split}.csv"
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace", newline="") as file:
                rows = [row.get("label") == row.get("predicted") for row in csv.DictReader(file)]
            if rows:
                scores.append(Score(split=split, right=sum(rows), pictures=len(rows)))
    return scores


def _read_results(folder: Path, notes: list[str]) -> list[RuleResult]:
    """Every rule's report.json, in the order of their names."""
    results = []
    for path in sorted(folder.glob(f"*/{REPORT_NAME}")):
        try:
            results.append(RuleResult.from_json(json.loads(path.read_bytes())))
        except (OSError, ValueError, KennelError, AttributeError) as error:
            notes.append(f"{path.parent.name}/{path.name} cannot be read: {error}")
    return results


def _last(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    last: dict[str, float] = {}
    for row in rows:
        last.update({name: value for name, value in row.items() if ":" in name})
    return last


def _numbers(data: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, value in data.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if name is not None and math.isfinite(number):
            found[str(name)] = number
    return found


def _texts(data: object) -> dict[str, str]:
    if not isinstance(data, dict):
        return {}
    return {str(name): str(value) for name, value in data.items()}

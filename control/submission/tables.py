"""Tables of a submission: CSV for programs, Markdown for the README, from the same rows."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A header and rows of text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def csv(self) -> str:
        """As a file that spreadsheets open."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.header, *self.rows])
        return out.getvalue()

    @property
    def markdown(self) -> str:
        """As GitHub shows it."""
        lines = (self.header, ("---",) * len(self.header), *self.rows)
        return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def table_of(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Rows of anything."""
    return Table(
        header=tuple(header), rows=tuple(tuple(number(value) for value in row) for row in rows)
    )


def ranges_table(study: Study) -> Table:
    """What was searched, where, and between which values trials really were."""
    rows = []
    for name, told in study.spec.to_json()["ranges"].items():
        tried = sorted({trial.hyperparameters[name] for trial in study.trials}, key=_by_size)
        is_range = isinstance(told, Mapping)
        kind = "range" if is_range else "categories"
        where = f"{told['min']} to {told['max']}" if is_range else ", ".join(map(str, told))
        scale = str(told.get("scaling", "Linear")) if is_range else "-"
        ends = f"{number(tried[0])} to {number(tried[-1])}" if tried else "-"
        share = study.importances.get(name)
        rows.append((name, kind, where, scale, ends, "-" if share is None else f"{share:.0%}"))
    return table_of(("name", "kind", "searched", "scale", "tried", "importance"), rows)


def trials_table(study: Study) -> Table:
    """Every trial, with its values and what came of it."""
    names = list(study.spec.to_json()["ranges"])
    header = ("trial", "status", *names, study.spec.objective.metric, "seconds")
    return table_of(
        header,
        [
            (
                trial.number,
                trial.status,
                *(trial.hyperparameters.get(name, "-") for name in names),
                "-" if trial.objective is None else trial.objective,
                f"{trial.seconds:.1f}",
            )
            for trial in study.trials
        ],
    )


def classes_table(check: Mapping[str, Any]) -> Table:
    """Pictures of each class in each split, from `kennel data check`."""
    splits = dict(check.get("splits", {}))
    names = sorted({name for split in splits.values() for name in split["classes"]})
    rows = [(name, *(split["classes"].get(name, 0) for split in splits.values())) for name in names]
    return table_of(("class", *splits), rows)


def predictions_table(document: Mapping[str, Any]) -> Table:
    """Picture with its folder, which often is the true class; label and probability."""
    rows = [
        ("/".join(Path(one["picture"]).parts[-2:]), one["label"], f"{one['probability']:.4f}")
        for one in document.get("predictions", ())
    ]
    return table_of(("picture", "answer", "probability"), rows)


def number(value: object) -> str:
    """Floats with four digits that count."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _by_size(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

"""What a study says: a sentence a trial, with the best so far, and its metrics by number."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from contract.metrics import METRIC_BY_NAME, format_metric
from contract.ranges import CategoricalRange, Range, text_for
from contract.study import Study, Trial
from contract.trial_line import describe_values, trial_line
from contract.tuning import TuningSpec
from contract.tuning_warnings import tuning_warnings
from train.record import Record

if TYPE_CHECKING:  # it takes a second: optuna
    from train.storage import Place

log = logging.getLogger(__name__)


def tell_beginning(spec: TuningSpec, place: "Place", num_ended: int) -> None:
    """What is searched, and what is done already."""
    objective = spec.objective
    word = "highest" if objective.maximize else "lowest"
    at_once = f", {spec.max_parallel_jobs} at once" if spec.max_parallel_jobs > 1 else ""
    log.info(
        "study  %s: %s search for the %s %s, %d trials%s",
        spec.name, spec.strategy, word, objective.metric, spec.num_jobs, at_once,
    )  # fmt: skip
    for name, one in spec.ranges.items():
        log.info("search %s %s", name, describe_range(name, one))
    for line in tuning_warnings(spec):
        log.warning("warning: %s", line)
    if place.is_shared:
        log.info("shared %s", place.shown)
    if num_ended:
        log.info("resume %d of %d trials are done", num_ended, spec.num_jobs)


def describe_range(name: str, one: Range) -> str:
    """`0.001 to 0.1, logarithmic`, or the values."""
    if isinstance(one, CategoricalRange):
        return ", ".join(text_for(name, value) for value in one.values)
    scale = {"Logarithmic": ", logarithmic", "ReverseLogarithmic": ", reverse logarithmic"}
    return f"{one.minimum:g} to {one.maximum:g}{scale.get(one.scaling, '')}"


def tell_trial(spec: TuningSpec, trial: Trial, best: Trial | None) -> None:
    """One sentence without a `=`, then a metric line for each of its numbers."""
    log.info("%s", trial_line(spec, trial, best))
    for line in _metric_lines(trial):
        log.info("trial %d: %s", trial.number, line)


def tell_epoch(number: int, row: Mapping[str, float]) -> None:
    """Of a long trial. Without a `=`: the regexes read the end of a trial only."""
    figures = ", ".join(f"{name} {row[name]:.4g}" for name in METRIC_BY_NAME if name in row)
    log.info("trial %d: epoch %d: %s", number, row["epoch"], figures)


def tell_aside(number: int, record: Record) -> None:
    """Of a trial for which there is no more time."""
    log.info(
        "note   trial %d stops after %d epochs: %s; with more time it goes on",
        number,
        len(record.curves),
        record.reason,
    )


def tell_end(study: Study, *, has_bundle: bool) -> None:
    """How many trials, which is best; its metrics, unless making its bundle has told them."""
    statuses = [trial.status for trial in study.trials]
    counts = ", ".join(
        f"{count} {name.lower()}"
        for name in ("Completed", "Stopped", "Failed")
        if (count := statuses.count(name))
    )
    log.info("study  %s in %.1f s%s", counts or "no trial has ended", study.seconds, _why(study))
    best = study.best_trial
    if best is not None:
        log.info(
            "best   trial %d: %s %.6g with %s",
            best.number,
            study.spec.objective.metric,
            best.objective,
            describe_values(best.hyperparameters),
        )
        for line in () if has_bundle else _metric_lines(best):
            log.info("%s", line)


def _metric_lines(trial: Trial) -> list[str]:
    names = [name for name in METRIC_BY_NAME if name in trial.metrics]
    return [format_metric(name, trial.metrics[name]) for name in names]


def _why(study: Study) -> str:
    return f"; {study.reason}" if study.reason else ""

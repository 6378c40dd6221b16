"""Metrics as people read them: every value under its name, the final score last."""

from collections.abc import Mapping

from contract.metrics import METRICS, format_metric

LAST = "test:accuracy"


def ordered(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics in the table's order, except that the test accuracy comes last."""
    names = [metric.name for metric in METRICS if metric.name != LAST]
    return {name: metrics[name] for name in (*names, LAST) if name in metrics}


def metric_lines(metrics: Mapping[str, float]) -> list[str]:
    """One metric line each, as a job writes them."""
    return [format_metric(name, value) for name, value in ordered(metrics).items()]


def headline(metrics: Mapping[str, float]) -> str:
    """The one figure that a list has room for: test before validation before train."""
    for name in (LAST, "validation:accuracy", "train:accuracy", "train:loss"):
        if name in metrics:
            return f"{name} {metrics[name]:.4f}"
    return "-"

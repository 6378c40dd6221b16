"""Patience: which epoch is better, and when training has gone on for too long without one."""

import logging
import math
from collections.abc import Sequence

from contract.hyperparameters import Hyperparameters
from train.metrics_file import EpochRow

log = logging.getLogger(__name__)


def key_of(row: EpochRow, values: Hyperparameters) -> tuple[float, float]:
    """Larger is better; the validation metric that is not the objective breaks ties."""
    accuracy, loss = row.metrics["validation:accuracy"], row.metrics["validation:loss"]
    by_accuracy = values.objective == "validation:accuracy"
    return (accuracy, -loss) if by_accuracy else (-loss, accuracy)


def is_patience_over(rows: Sequence[EpochRow], values: Hyperparameters) -> bool:
    """True after `early-stopping-patience` epochs that did not improve enough."""
    if not values.early_stopping_patience or len(rows) < values.early_stopping_min_epochs:
        return False
    reference, since = -math.inf, 0
    for row in rows:
        score = key_of(row, values)[0]
        if score > reference + values.early_stopping_tolerance:
            reference, since = score, 0
        else:
            since += 1
    if since >= values.early_stopping_patience:
        log.info("no better %s for %d epochs: stopping early", values.objective, since)
        return True
    return False

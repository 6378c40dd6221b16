"""Epoch rows: a trial's curves, read back from what its training said."""

import re
from collections.abc import Iterable

from contract.metrics import read_metrics

# `epoch  3/10  loss 0.4123 ...`; the metric lines of the epoch follow it.
_EPOCH = re.compile(r"epoch +(\d+)/\d+  ")
_RESULT = re.compile(r"done +in ")  # what follows is the result: of an epoch that was told already


def epoch_rows(lines: Iterable[str]) -> tuple[dict[str, float], ...]:
    """One row an epoch: {"epoch": 1, "validation:loss": 0.5, ...}.

    An epoch that was told twice, before and after an interruption, counts as it was told last.
    """
    rows: dict[int, dict[str, float]] = {}
    row: dict[str, float] | None = None
    for line in lines:
        if found := _EPOCH.match(line):
            number = int(found[1])
            row = rows[number] = {"epoch": number}
        elif _RESULT.match(line):
            row = None
        elif row is not None:
            row.update(read_metrics(line))
    return tuple(rows[number] for number in sorted(rows) if len(rows[number]) > 1)

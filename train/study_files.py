"""What a study leaves in output/data: study.json, trials.csv, and its page as report.html."""

import csv
import io
import logging
import time
from pathlib import Path

from contract.files import write_text
from contract.manifest import REPORT_NAME
from contract.metrics import METRIC_BY_NAME
from contract.ranges import text_for
from contract.study import STUDY_NAME, Study, Trial, write_study

log = logging.getLogger(__name__)

CSV_NAME = "trials.csv"
_SECONDS_BETWEEN = 1.0  # writing hundreds of trials after each of many short ones adds up


class StudyFiles:
    """Written after every change, but not more often than once a second unless they must be."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._last = folder, -_SECONDS_BETWEEN

    @property
    def is_due(self) -> bool:
        """True when `write` would write."""
        return time.monotonic() - self._last >= _SECONDS_BETWEEN

    def write(self, study: Study, *, must: bool) -> None:
        """Raises HostError on a full disk."""
        if not (must or self.is_due):
            return
        write_study(self._folder / STUDY_NAME, study)
        write_text(self._folder / CSV_NAME, trials_table(study))
        self._last = time.monotonic()

    def prepare(self) -> None:
        """Load what `draw` needs, which takes a second: matplotlib."""
        from train import study_page  # noqa: F401

    def draw(self, study: Study) -> None:
        """The page. Raises HostError on a full disk."""
        from train.study_page import write_study_page  # see `prepare`

        started = time.perf_counter()
        spec = study.spec
        price: float | None = getattr(spec, "price_per_hour", None)
        if price is not None:  # of the instance, which this many trials share
            price /= min(spec.max_parallel_jobs, spec.num_jobs)
        write_study_page(study, self._folder / REPORT_NAME, price_per_hour=price)
        log.info("report %s (%.1f s)", self._folder / REPORT_NAME, time.perf_counter() - started)


def trials_table(study: Study) -> str:
    """CSV: a row a trial, a column a range and a metric."""
    ranges = list(study.spec.ranges)
    present = {name for trial in study.trials for name in trial.metrics}
    metrics = [name for name in METRIC_BY_NAME if name in present]
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    ends = ["seconds", "started_at", "worker", "reason"]
    table.writerow(["number", "status", "objective", *ranges, *metrics, *ends])
    for trial in study.trials:
        table.writerow(_row(trial, ranges, metrics))
    return buffer.getvalue()


def _row(trial: Trial, ranges: list[str], metrics: list[str]) -> list[object]:
    values = trial.hyperparameters
    return [
        trial.number,
        trial.status,
        "" if trial.objective is None else trial.objective,
        *(text_for(name, values[name]) if name in values else "" for name in ranges),
        *(trial.metrics.get(name, "") for name in metrics),
        round(trial.seconds, 3),
        trial.started_at,
        trial.worker,
        trial.reason or "",
    ]

"""The report that a run leaves: figures, tables and one page that shows them together."""

import csv
import io
from pathlib import Path

from contract.files import write_bytes, write_text
from contract.manifest import REPORT_NAME
from contract.page import draw_twice
from train.class_report import score_classes, write_class_report
from train.confusion import confusion_scale, count_confusion, draw_confusion, most_confused
from train.curves import CURVES_SCALE, draw_curves
from train.predictions import write_predictions
from train.report_page import Close, build_page
from train.run_report import Evaluation, RunReport
from train.worst import draw_worst, find_worst

__all__ = ["Evaluation", "RunReport", "write_report"]

_NUM_WORST = 24
_NUM_PAIRS = 12


def write_report(folder: Path, run: RunReport) -> None:
    """Leave curves.png, confusion.png, per_class.csv, worst.png and report.html in `folder`, and
    predictions_SPLIT.csv of each split.

    unreadable.csv is left only when there are such pictures. Confusion, classes and worst
    pictures are those of the last evaluation. A picture that cannot be opened any more is an
    empty tile. Raises HostError when the disk is full.
    """
    curves = draw_twice(lambda theme: draw_curves(run.rows, run.best_epoch, theme), CURVES_SCALE)
    write_bytes(folder / "curves.png", curves.light)
    last = run.evaluations[-1] if run.evaluations else None
    close = _look_closely(folder, run, last) if last else None
    for evaluation in run.evaluations:
        write_predictions(folder, evaluation, run.labels)
    if run.unreadable:
        _write_unreadable(folder / "unreadable.csv", run.unreadable)
    write_text(folder / REPORT_NAME, build_page(run, curves, close))


def _look_closely(folder: Path, run: RunReport, evaluation: Evaluation) -> Close:
    names = run.labels.names
    matrix = count_confusion(evaluation.targets, evaluation.predicted, len(names))
    scores = score_classes(matrix, run.labels)
    confusion = draw_twice(
        lambda theme: draw_confusion(matrix, names, theme), confusion_scale(len(names))
    )
    worst = find_worst(evaluation, names, _NUM_WORST)
    write_bytes(folder / "confusion.png", confusion.light)
    write_class_report(folder / "per_class.csv", scores)
    write_bytes(folder / "worst.png", draw_worst(worst))
    return Close(
        split=evaluation.split,
        confusion=confusion,
        scores=scores,
        pairs=most_confused(matrix, _NUM_PAIRS),
        worst=worst,
    )


def _write_unreadable(path: Path, unreadable: tuple[tuple[str, str], ...]) -> None:
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["path", "reason"])
    table.writerows(unreadable)
    # A file name may hold bytes that are not UTF-8; the list is still written.
    write_text(path, buffer.getvalue().encode("utf-8", "backslashreplace").decode("utf-8"))

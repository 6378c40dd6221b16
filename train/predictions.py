"""Predictions: what the finished network says of every evaluated picture, as a table."""

import csv
import io
from pathlib import Path

from contract.files import write_text
from contract.labels import Labels
from train.run_report import Evaluation


def write_predictions(folder: Path, evaluation: Evaluation, labels: Labels) -> None:
    """Leave predictions_SPLIT.csv: picture, its label, the predicted one and its probability.

    Raises HostError when the disk is full.
    """
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["picture", "label", "predicted", "probability"])
    predicted = evaluation.predicted
    for row, picture in enumerate(evaluation.pictures):
        probability = evaluation.probabilities[row, predicted[row]]
        names = labels.names[int(evaluation.targets[row])], labels.names[int(predicted[row])]
        table.writerow([picture.path, *names, f"{probability:.6f}"])
    # A file name may hold bytes that are not UTF-8; the table is still written.
    text = buffer.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")
    write_text(folder / f"predictions_{evaluation.split}.csv", text)

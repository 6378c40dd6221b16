import csv
from pathlib import Path

import numpy as np
from training import split_of

from contract.labels import Labels
from train.predictions import write_predictions
from train.run_report import Evaluation


def test_each_picture_has_a_row_with_what_was_predicted(tmp_path):
    evaluation = Evaluation(
        split="test",
        pictures=split_of(Path("cat/a, b.jpg"), Path("dog/c.jpg")).pictures,
        targets=np.array([0, 1]),
        probabilities=np.array([[0.25, 0.75], [0.1, 0.9]], dtype=np.float32),
    )
    write_predictions(tmp_path, evaluation, Labels(("cat", "dog")))
    with open(tmp_path / "predictions_test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row.values()) for row in rows] == [
        ["cat/a, b.jpg", "cat", "dog", "0.750000"],
        ["dog/c.jpg", "dog", "dog", "0.900000"],
    ]

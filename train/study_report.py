"""What a study that ran elsewhere is given here: importances, trials.csv and the page.

A command: python -m train.study_report FOLDER, which holds a study.json. In AWS a tuning job's
trials run one by one; nobody there sees the whole study.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from contract.errors import KennelError
from contract.manifest import REPORT_NAME
from contract.study import STUDY_NAME, read_study
from train.importances import importances_in
from train.study_files import StudyFiles
from train.study_page import write_study_page


def write_report(folder: Path, price_per_hour: float | None = None) -> None:
    """Complete study.json and draw the page. `price_per_hour` is one trial's.

    Raises SpecError: there is no study.json; HostError: the disk is full.
    """
    study = read_study(folder / STUDY_NAME)
    study = replace(study, importances=importances_in(study.trials, study.spec))
    StudyFiles(folder).write(study, must=True)
    write_study_page(study, folder / REPORT_NAME, price_per_hour=price_per_hour)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m train.study_report", description="Complete a study that ran elsewhere."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--price-per-hour", type=float, metavar="PRICE", help="of one trial; adds the cost"
    )
    given = parser.parse_args(arguments)
    try:
        write_report(given.folder, given.price_per_hour)
    except KennelError as error:
        sys.stderr.write(f"failed: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The command `python -m train.study_report`: a study's importances, table and page."""

import subprocess
import sys
from pathlib import Path

from contract.errors import HostError
from control.child import KILLED_SECONDS, our_variables, start_child

LIMIT_SECONDS = 600.0  # hundreds of trials take seconds
COMMAND = (sys.executable, "-m", "train.study_report")


def draw_study(folder: Path, price_per_hour: float | None = None) -> None:
    """Complete the study.json in `folder` and draw report.html beside it.

    `price_per_hour` is one trial's. Raises HostError: it failed, and why.
    """
    words = [*COMMAND, str(folder)]
    if price_per_hour is not None:
        words += ["--price-per-hour", f"{price_per_hour:g}"]
    child = start_child(
        words, extra=our_variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        _, said = child.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise HostError(f"the page of {folder} was not drawn after {LIMIT_SECONDS:.0f} s") from None
    finally:
        child.kill()
        child.wait(timeout=KILLED_SECONDS)
    if child.returncode:
        last = next(
            (line for line in reversed(said.splitlines()) if line.strip()), "no reason given"
        )
        raise HostError(f"the page of {folder} cannot be drawn: {last.strip()}")

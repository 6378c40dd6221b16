"""For the tests of `python -m debugger`: the command as a process, and a job that it reads."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from tensor_runs import GRADIENTS, clean_environment, write_steps

WAIT_SECONDS = 60
COMMAND = (sys.executable, "-m", "debugger")
SMALL, LARGE = np.full((2, 2), 1e-9, np.float32), np.ones((2, 2), np.float32)


def run(
    *words: object, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        env=environment or clean_environment(),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


def job(folder: Path, *gradients: np.ndarray, has_ended: bool = True) -> Path:
    """A job's folder with steps of training and one of evaluation."""
    steps = [("TRAIN", one, step(value)) for one, value in enumerate(gradients)]
    write_steps(
        folder / "output/tensors",
        [*steps, ("EVAL", 0, {"loss": np.float32(2)})],
        collections=GRADIENTS,
        has_ended=has_ended,
    )
    return folder


def step(gradient: np.ndarray) -> dict[str, object]:
    """What one step saves."""
    return {"loss": np.float32(1), "gradient/fc": gradient, "scalar/accuracy": np.float64([0.5])}

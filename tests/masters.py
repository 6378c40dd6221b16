"""For the tests of whole studies: `python -m train` as a process of its own, and its workers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from training import REPOSITORY, WAIT_SECONDS

from contract.study import STUDY_NAME, Study, read_study

WEIGHTS = "model.safetensors"


class Master:
    """`python -m train` of a study, as a process of its own."""

    def __init__(self, words: list[str], **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "train", *words],
            cwd=REPOSITORY,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""

    def wait_for(self, words: str) -> None:
        assert self.process.stdout is not None
        while words not in self.output:
            line = self.process.stdout.readline()
            assert line, self.output
            self.output += line

    def wait(self) -> int:
        self.output += self.process.communicate(timeout=WAIT_SECONDS)[0]
        return self.process.returncode

    def end(self) -> None:
        """Nothing is left when a test fails; workers end with their master."""
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate(timeout=WAIT_SECONDS)

    def workers(self) -> list[int]:
        """Their process numbers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in children.read_text().split()]


def result_of(out: Path) -> Study:
    """The study as it was left."""
    return read_study(out / "output" / STUDY_NAME)


def await_true(is_so: Callable[[], bool]) -> None:
    """Look again and again, for so long as a test may take."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def await_epochs(out: Path) -> None:
    """Until a trial of this master has told of an epoch."""
    path = out / "output" / STUDY_NAME
    await_true(lambda: path.is_file() and any(one.curves for one in read_study(path).trials))

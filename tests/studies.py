"""For the tests of studies: small descriptions of them, and hosts that share one."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna.importance  # noqa: F401  # here: scikit-learn sets variables for its threads
from training import REPOSITORY, TINY, WAIT_SECONDS, flags

from contract.tuning import TUNING_KEY, TuningSpec
from train.record import Record
from train.storage import Place
from train.study import Claim, OpenStudy

RANGES = {"lr": {"min": 0.001, "max": 0.1}, "batch-size": [8, 16, 32]}

# Waits for a line, claims until nothing is left, and writes the numbers that it got.
CLAIMER = """
import json, sys
from contract.tuning import TuningSpec
from train.record import Record
from train.storage import Place
from train.study import OpenStudy
spec = TuningSpec.from_json(json.loads(sys.argv[1]))
study = OpenStudy(spec, Place(url=sys.argv[2], is_shared=True))
study.begin({})
numbers = []
print("ready", flush=True)
sys.stdin.readline()
while (claim := study.claim("host")) is not None:
    numbers.append(claim.number)
    study.finish(claim, "Completed", claim.values["lr"], Record())
print(json.dumps(numbers))
"""


def spec_of(**changes: Any) -> TuningSpec:
    """Eight trials of two ranges unless `changes` say otherwise."""
    plain = {"name": "tiny", "objective": "validation:loss", "max_jobs": 8, "ranges": RANGES}
    return TuningSpec.from_json({**plain, **changes})


def open_study(folder: Path, spec: TuningSpec, **changes: Any) -> OpenStudy:
    """The study in a file of `folder`, for the next session."""
    study = OpenStudy(spec, replace(Place.of_file(folder / "study.db"), **changes))
    study.begin({})
    return study


def claim(study: OpenStudy) -> Claim:
    """The next trial, which there has to be."""
    found = study.claim("here")
    assert found is not None
    return found


def complete(study: OpenStudy, *objectives: float) -> None:
    """Run trials that come to these."""
    for objective in objectives:
        study.finish(claim(study), "Completed", objective, Record())


def bowl(values: dict[str, Any]) -> float:
    """A loss with its best point inside the ranges."""
    return abs(values["lr"] - 0.03) + values["batch-size"] / 1000


def run_all(study: OpenStudy) -> list[dict[str, Any]]:
    """Complete what is left; the values of all trials."""
    while (found := study.claim("here")) is not None:
        study.finish(found, "Completed", bowl(dict(found.values)), Record())
    return [dict(trial.hyperparameters) for trial in study.trials()]


def claimers(spec: TuningSpec, url: str, count: int) -> list[list[int]]:
    """The numbers that each of `count` processes got, which all begin at one moment."""
    words = [sys.executable, "-c", CLAIMER, json.dumps(spec.to_json()), url]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(words, cwd=REPOSITORY, stdin=pipe, stdout=pipe) for _ in range(count)
    ]
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.write(b"go\n")
        one.stdin.flush()
    return [json.loads(one.communicate(timeout=WAIT_SECONDS)[0]) for one in processes]


def study_flags(
    pictures: Path, out: Path, spec: dict[str, Any], more: Sequence[str] = (), **changes: str
) -> list[str]:
    """`python -m train` of a study of the tiny job; what it searches is no flag."""
    plain = {"name": "tiny", "objective": "validation:loss", "max_jobs": 4, "ranges": RANGES}
    whole = {**plain, **spec}
    words = flags(pictures, out, **changes)
    for name in whole["ranges"]:
        if name in TINY:
            place = words.index(f"--{name}")
            del words[place : place + 2]
    checkpoints = ["--checkpoint-dir", str(out / "checkpoints")]
    return [*words, f"--{TUNING_KEY}", json.dumps(whole), *checkpoints, *more]

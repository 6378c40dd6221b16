"""For the tests of a study's page: studies with made-up trials."""

from contract.study import Study, Trial
from contract.tuning import TuningSpec

RANGES = {"lr": {"min": 0.001, "max": 0.1}, "batch-size": ["auto", 32, 64, 128]}


def spec(**changes: object) -> TuningSpec:
    """Twenty trials of two ranges unless `changes` say otherwise."""
    given = {"name": "dogs", "objective": "test:loss", "max_jobs": 20, "ranges": RANGES}
    return TuningSpec.from_json({**given, "static": {"arch": "resnet18"}, **changes})


def trial(number: int, objective: float | None, **changes: object) -> Trial:
    """One trial; lr grows with the number."""
    given = {
        "status": "Completed" if objective is not None else "Failed",
        "hyperparameters": {
            "lr": 0.001 * 1.2 ** (number - 1),
            "batch-size": (0, 32, 64, 128)[(number - 1) % 4],
        },
        "seconds": 2.0 + number,
        "curves": ({"epoch": 1, "validation:loss": 3.0}, {"epoch": 2, "validation:loss": 2.0}),
    }
    return Trial(**{"number": number, "objective": objective, **given, **changes})


def study(*objectives: float | None, **changes: object) -> Study:
    """A finished study; the best minimises."""
    trials = tuple(trial(number, value) for number, value in enumerate(objectives, start=1))
    known = [item for item in trials if item.objective is not None]
    best = min(known, key=lambda item: item.objective).number if known else None
    given = {"spec": spec(), "trials": trials, "best": best, "status": "Completed", "seconds": 60.0}
    return Study(**{**given, **changes})

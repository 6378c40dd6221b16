"""For the tests of tuning: descriptions, studies, and run folders that hold them."""

from pathlib import Path

from contract.study import Study, Trial, write_study
from contract.tuning import TUNING_KEY, TuningSpec
from control.runs import Run, make_run_folder, write_run
from control.study_runs import study_path

CLASSIC = {
    "name": "dogs",
    "objective": "average test loss",
    "max_jobs": 20,
    "ranges": {"lr": {"min": 0.001, "max": 0.1}, "batch-size": [32, 64, 128, 256]},
}
HYPERBAND = {"strategy": "Hyperband", "objective": "validation:loss", "static": {"epochs": "9"}}
GRID = {"strategy": "Grid", "max_jobs": None, "ranges": {"lr": [0.1, 0.2], "batch-size": [1, 2, 3]}}

JOB = '[hyperparameters]\nepochs = 30\n[channels]\ntrain = "pictures"\ntest = "pictures"\n'
SEARCH = """
name = "dogs"
job = "job.toml"
[hyperparameters]
epochs = 5
[tuning]
objective = "average test loss"
max_jobs = 3
[ranges]
lr = { min = 0.001, max = 0.9 }
batch-size = [32, 64]
"""


def write_search(folder):
    """A job, a search that names it, and a picture for both channels."""
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.png").touch()
    (folder / "job.toml").write_text(JOB)
    (folder / "search.toml").write_text(SEARCH)


def described(**changes):
    """The classic search as plain data, with changes; None leaves a name out."""
    data = {**CLASSIC, **changes}
    return {name: value for name, value in data.items() if value is not None}


def spec_of(**changes):
    """The same, read and checked."""
    return TuningSpec.from_json(described(**changes))


def three_trials(spec, status="Completed", **more):
    """A study of three trials; the second is the best, the last failed."""
    trials = (
        Trial(
            number=0,
            status="Completed",
            hyperparameters={"lr": 0.05, "batch-size": 32},
            objective=1.25,
            metrics={"test:loss": 1.25, "test:accuracy": 0.5},
            curves=({"epoch": 1, "validation:loss": 2.0}, {"epoch": 2, "validation:loss": 1.5}),
            seconds=61.0,
        ),
        Trial(
            number=1,
            status="Completed",
            hyperparameters={"lr": 0.012345678901234, "batch-size": 64},
            objective=0.75,
            metrics={"test:loss": 0.75, "test:accuracy": 0.625},
            curves=({"epoch": 1, "validation:loss": 1.0},),
            seconds=2.0,
        ),
        Trial(
            number=2,
            status="Failed",
            hyperparameters={"lr": 0.1, "batch-size": 32},
            reason="its worker was killed",
        ),
    )
    importances = {"lr": 0.75, "batch-size": 0.25}
    values = {"best": 1, "importances": importances, "bundle": "model", "seconds": 65.0, **more}
    return Study(spec=spec, trials=trials, status=status, **values)


def write_study_run(runs: Path, study, *, channels=None, status="Completed", pid=0):
    """A run folder that holds the study, as `kennel tune` and training leave it."""
    folder = make_run_folder(runs, study.spec.name)
    hyperparameters = {**study.spec.static, TUNING_KEY: study.spec.to_hyperparameter()}
    run = Run(
        name=study.spec.name,
        folder=folder,
        status=status,
        pid=pid,
        hyperparameters=hyperparameters,
        channels={name: str(path) for name, path in (channels or {}).items()},
    )
    write_run(run)
    write_study(study_path(folder), study)
    if study.bundle and status == "Completed":
        (folder / study.bundle).mkdir(exist_ok=True)
    return folder

"""Studies among the runs: which run holds which study, and how far it is."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from contract.errors import JobError, SpecError, UsageError
from contract.opt_ml import OptMl
from contract.ranges import text_for
from contract.study import PARENTS_NAME, STUDY_NAME, Study, Trial, read_study, write_study
from contract.tuning import OBJECTIVE_NAME, TUNING_KEY, TuningSpec
from control.child import POLL_SECONDS
from control.orphan import STOPPING
from control.runs import NUMBERED, Run, find_run, list_runs, read_run, stored_run, write_run
from control.terminal import say
from control.tuning_file import Tuning

ORPHAN_SECONDS = 60.0  # for a job without its kennel to save what it has; a bundle takes longest
NEWEST_BEST = "best"  # for --from: the newest finished study


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """A run that is a study. `study` is None until training has written the first word."""

    run: Run
    study: Study | None

    @property
    def is_running(self) -> bool:
        """A `kennel tune` looks after it right now."""
        return self.run.status == "InProgress"

    def spec(self) -> TuningSpec:
        """As the run was told. Raises JobError: another version's description."""
        given = dict(self.run.hyperparameters)
        return TuningSpec.from_hyperparameter(given.pop(TUNING_KEY), given)


def is_study(run: Run) -> bool:
    """Whether the run is a study."""
    return TUNING_KEY in run.hyperparameters


def study_of(run: Run) -> StudyRun:
    """The run with its study.json. Raises SpecError: it is not one we know."""
    path = study_path(run.folder)
    return StudyRun(run=run, study=read_study(path) if path.is_file() else None)


def study_path(folder: Path) -> Path:
    """Where training writes what a study came to."""
    return OptMl(folder).output_data_dir / STUDY_NAME


def find_study(runs: Path, which: str) -> StudyRun:
    """A study by folder, number, folder name or name; `best` is the newest that has finished.

    Raises UsageError: there is none.
    """
    if which == NEWEST_BEST:
        return _newest_finished(runs)
    run = find_run(runs, which)
    if not is_study(run):
        raise UsageError(f"{run.folder} is a training job and no study: see `kennel tune`")
    return study_of(run)


def same_study(runs: Path, tuning: Tuning, kind: str = "") -> StudyRun | None:
    """The newest run of this very study: name, what is searched and how, and channels.

    `kind`: of a run in AWS, as its run.json has it; a study of here is another one.
    """
    for run in reversed(list_runs(runs)):
        ours = run.name == tuning.spec.name and run.aws.get("kind", "") == kind
        if ours and is_study(run):
            found = _readable(run)
            if (
                found
                and _fingerprint(found) == tuning.spec.fingerprint()
                and _channels(run.channels)
                == _channels({name: str(path) for name, path in tuning.channels.items()})
            ):
                return found
    return None


def ended_without_parents(runs: Path, tuning: Tuning) -> StudyRun | None:
    """The finished run of this study whose parents are not there any more, known by their names."""
    wanted = tuning.spec.warm_start.parents if tuning.spec.warm_start else ()
    for run in reversed(list_runs(runs)):
        theirs = _parents_of(run) if run.name == tuning.spec.name else ()
        if len(theirs) == len(wanted) and all(map(_may_be_called, theirs, wanted)):
            found = same_study(runs, tuning.with_parents(theirs))
            if found and is_finished(found, tuning.spec):
                return found
    return None


def is_finished(found: StudyRun, wanted: TuningSpec) -> bool:
    """Whether nothing is left to do: it has ended with its bundle, and no budget was raised."""
    study = found.study
    if study is None or study.status != "Completed":
        return False
    if study.bundle and not (found.run.folder / study.bundle).is_dir():
        return False
    was = study.spec
    unchanged = (was.num_jobs, was.max_runtime_seconds, was.completion) == (
        wanted.num_jobs,
        wanted.max_runtime_seconds,
        wanted.completion,
    )
    return unchanged or study.num_finished >= wanted.num_jobs


def await_orphan(
    found: StudyRun, echo: TextIO, patience_seconds: float = ORPHAN_SECONDS
) -> StudyRun:
    """The study as it is when the job of a `kennel tune` that was killed has ended.

    Raises UsageError: it does not end.
    """
    deadline = time.monotonic() + patience_seconds
    run = found.run
    if run.status == STOPPING:
        say(f"waiting: {run.failure_reason}", to=echo)
    while run.status == STOPPING:
        if time.monotonic() >= deadline:
            raise UsageError(
                f"{run.folder}: {run.failure_reason}: wait for its end, or stop that process; "
                "then the same command goes on"
            )
        time.sleep(POLL_SECONDS)
        run = read_run(run.folder)
    return study_of(run)


def note_end(found: StudyRun) -> StudyRun:
    """Write down that a finished study's run is Completed: its `kennel tune` may have been killed
    before the last trial's end.
    """
    run = replace(found.run, status="Completed", failure_reason=None)
    if run != stored_run(run.folder):
        OptMl(run.folder).failure_file.unlink(missing_ok=True)
        write_run(run)
    return replace(found, run=run)


def best_of(found: StudyRun) -> tuple[Trial, dict[str, str]]:
    """The best trial and its hyperparameters as SageMaker sends them.

    Raises UsageError: no trial has an objective yet.
    """
    study = found.study
    trial = study.best_trial if study else None
    if study is None or trial is None:
        raise UsageError(f"{found.run.folder}: no trial of this study has come to an end yet")
    taken = {name: text_for(name, value) for name, value in trial.hyperparameters.items()}
    # By it the trial's best epoch was chosen; without it a job would keep another one's weights.
    chosen_by = study.spec.static.get(OBJECTIVE_NAME)
    return trial, {**taken, **({OBJECTIVE_NAME: chosen_by} if chosen_by else {})}


def find_parents(runs: Path, tuning: Tuning) -> list[StudyRun]:
    """The studies that the warm start names, checked as SageMaker does.

    Raises UsageError: one does not exist, has no trials, or has another objective or data.
    """
    if tuning.spec.warm_start is None:
        return []
    found = [find_study(runs, parent) for parent in tuning.spec.warm_start.parents]
    for parent in found:
        where = f"warm_start.parents: {parent.run.folder}"
        if parent.study is None or parent.is_running:
            raise UsageError(f"{where} has not ended: wait for it, or leave it out")
        if parent.study.spec.objective != tuning.spec.objective:
            theirs = parent.study.spec.objective
            raise UsageError(
                f"{where} has the objective {theirs.goal} {theirs.metric}; the same is needed"
            )
        same = _channels(parent.run.channels) == _channels(
            {name: str(path) for name, path in tuning.channels.items()}
        )
        if tuning.spec.warm_start.type == "IdenticalDataAndAlgorithm" and not same:
            raise UsageError(f'{where} learnt from other channels: take type "TransferLearning"')
    return found


def write_parents(folder: Path, parents: list[StudyRun]) -> None:
    """Lay the parents' trials beside the study's checkpoint, where training looks for them."""
    for parent in parents:
        if parent.study:
            name = f"{parent.run.folder.name}.json"
            write_study(folder / "checkpoints" / PARENTS_NAME / name, parent.study)


def _newest_finished(runs: Path) -> StudyRun:
    every = [_readable(run) for run in list_runs(runs) if is_study(run)]
    studies = [one for one in every if one is not None]
    finished = [one for one in studies if one.study and one.study.status == "Completed"]
    if finished:
        return finished[-1]
    if studies:
        name = studies[-1].run.folder.name
        raise UsageError(f"no study has finished yet; name one to take its best so far: {name}")
    raise UsageError(f"no study in {runs}/ yet: start one with `kennel tune TUNING.toml`")


def _readable(run: Run) -> StudyRun | None:
    """None for the study of another version, or one that was damaged: others count as ever."""
    try:
        return study_of(run)
    except SpecError:
        return None


def _parents_of(run: Run) -> tuple[str, ...]:
    """Folder names."""
    try:
        warm_start = StudyRun(run=run, study=None).spec().warm_start if is_study(run) else None
    except JobError:  # of another version
        return ()
    return warm_start.parents if warm_start else ()


def _may_be_called(folder: str, which: str) -> bool:
    """Whether `find_run` would have found this folder by that word."""
    match = NUMBERED.fullmatch(folder)
    numbered = (match[2] == which or match[1].lstrip("0") == which.lstrip("0")) if match else False
    return numbered or Path(which).name == folder


def _fingerprint(found: StudyRun) -> str:
    try:
        return found.spec().fingerprint()
    except JobError:  # written by another version: not the same, then
        return ""


def _channels(given: Mapping[str, str]) -> dict[str, Path]:
    return {name: Path(path).resolve() for name, path in given.items()}

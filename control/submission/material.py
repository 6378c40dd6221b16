"""Material: the runs, the study and the evidence that a submission is written from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.errors import UsageError
from contract.study import Study
from control.child import ROOT
from control.runs import Run, find_run, list_runs
from control.study_runs import StudyRun, is_study, study_of
from control.submission.evidence import Evidence, is_executed

NOTEBOOK = Path("train_and_deploy.ipynb")
MOST_RUNS = 20  # cards of the newest ones, when none is named


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything that is known of what ran."""

    runs: tuple[Run, ...]  # training jobs that completed, oldest first
    study: StudyRun | None
    evidence: Evidence
    notebook: Path | None  # an executed one where there is one, else one that is ready to run

    @property
    def run(self) -> Run | None:
        """The one that the pages are about: the newest that rules watched, or else the newest."""
        chosen = [run for run in self.runs if run.rules] or list(self.runs)
        return chosen[-1] if chosen else None

    @property
    def trials(self) -> Study | None:
        """The study's record."""
        return self.study.study if self.study else None


def gather(
    runs: Path, names: Sequence[str], evidence: Evidence, notebook: Path | None = None
) -> Material:
    """The runs that are named, or all that completed.

    Raises UsageError: there is no such run, or no notebook of this name.
    """
    chosen = [find_run(runs, name) for name in names] or list_runs(runs)
    done = [run for run in chosen if run.status == "Completed"]
    if missing := [run for run in chosen if names and run not in done]:
        raise UsageError(f"{missing[0].folder} is {missing[0].status}: name runs that completed")
    studies = [study_of(run) for run in done if is_study(run)]
    jobs = [run for run in done if not is_study(run)]
    if notebook and not notebook.is_file():
        raise UsageError(f"{notebook} does not exist: give the notebook's path")
    return Material(
        runs=tuple(jobs if names else jobs[-MOST_RUNS:]),
        study=studies[-1] if studies else None,
        evidence=evidence,
        notebook=notebook or _notebook(),
    )


def _notebook() -> Path | None:
    here = (NOTEBOOK, Path("notebooks") / NOTEBOOK, Path("..") / NOTEBOOK)
    found = [path for path in (*here, ROOT / "notebooks" / NOTEBOOK) if path.is_file()]
    return next((path for path in found if is_executed(path)), found[0] if found else None)

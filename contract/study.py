"""Study: what one tuning run came to. Training writes it after every change, the rest reads it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from contract.errors import JobError, SpecError
from contract.files import read_json, write_json
from contract.ranges import from_data, to_data
from contract.setting import Value
from contract.tuning import TuningSpec

STUDY_NAME = "study.json"  # in /opt/ml/output/data
STORAGE_NAME = "study.db"  # optuna's file, in /opt/ml/checkpoints
PARENTS_NAME = "parents"  # folder in /opt/ml/checkpoints: PARENT.json, each a Study
FORMAT_VERSION = 1

TrialStatus = Literal["Completed", "Stopped", "Failed", "InProgress"]
StudyStatus = Literal["Completed", "Stopped", "Failed", "InProgress"]
STATUSES: tuple[TrialStatus, ...] = ("Completed", "Stopped", "Failed", "InProgress")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training job of a study. Statuses are SageMaker's words; Stopped means stopped early."""

    number: int  # from 1, without gaps
    status: TrialStatus
    hyperparameters: Mapping[str, Value]  # of the ranges only, typed
    objective: float | None = None  # None until there is one
    metrics: Mapping[str, float] = field(default_factory=dict)  # the last value of each
    # One row an epoch: {"epoch": 1, "validation:loss": 0.5, ...}.
    curves: tuple[Mapping[str, float], ...] = ()
    seconds: float = 0.0
    started_at: str = ""  # ISO 8601, UTC
    worker: str = ""  # who ran it: host and process, for a person
    reason: str | None = None  # why it failed or was stopped

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise SpecError(f"trial {self.number}: unknown status {self.status!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One tuning run: what was asked for, and every trial so far."""

    spec: TuningSpec
    trials: tuple[Trial, ...] = ()  # by number; those of warm_start's parents are not among them
    best: int | None = None  # a trial's number
    status: StudyStatus = "InProgress"
    seconds: float = 0.0  # of all sessions together
    importances: Mapping[str, float] = field(default_factory=dict)  # by range, sum 1
    warm_trials: int = 0  # trials that came from the parents
    bundle: str | None = None  # where the best network lies, relative to /opt/ml; None: none yet
    reason: str | None = None  # why it ended before max_jobs, or failed
    pictures: Mapping[str, str] = field(default_factory=dict)  # `digests_of`; empty: not known
    format_version: int = FORMAT_VERSION

    @property
    def best_trial(self) -> Trial | None:
        """The trial that `best` names."""
        return next((trial for trial in self.trials if trial.number == self.best), None)

    @property
    def num_finished(self) -> int:
        """Trials that have ended, however."""
        return sum(trial.status != "InProgress" for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` is its inverse."""
        return {
            "format_version": self.format_version,
            "spec": self.spec.to_json(),
            "status": self.status,
            "best": self.best,
            "seconds": self.seconds,
            "importances": dict(self.importances),
            "warm_trials": self.warm_trials,
            "bundle": self.bundle,
            "reason": self.reason,
            "pictures": dict(self.pictures),
            "trials": [
                {
                    **asdict(trial),
                    "hyperparameters": _each(to_data, trial.hyperparameters),
                    "metrics": dict(trial.metrics),
                    "curves": [dict(row) for row in trial.curves],
                }
                for trial in self.trials
            ],
        }

    @classmethod
    def from_json(cls, data: Any) -> "Study":
        """Raises SpecError: another format version, a missing name, an unknown name."""
        version = data.get("format_version") if isinstance(data, dict) else None
        if version != FORMAT_VERSION:
            raise SpecError(
                f"{STUDY_NAME} has format_version {version!r}; this Kennel reads "
                f"{FORMAT_VERSION}: use the version that wrote it"
            )
        known = {item.name for item in fields(cls)}
        if unknown := sorted(data.keys() - known):
            raise SpecError(f"{STUDY_NAME}: unknown name {unknown[0]!r}")
        try:
            trials = tuple(
                Trial(
                    **{
                        **item,
                        "curves": tuple(item.get("curves", ())),
                        "hyperparameters": _each(from_data, item["hyperparameters"]),
                    }
                )
                for item in data["trials"]
            )
            return cls(**{**data, "spec": TuningSpec.from_json(data["spec"]), "trials": trials})
        except (KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"{STUDY_NAME} is not one we know: {error}") from error


def _each(convert: Callable[[str, Value], Value], values: Mapping[str, Value]) -> dict[str, Value]:
    return {name: convert(name, value) for name, value in values.items()}


def read_study(path: Path) -> Study:
    """The study that a study.json holds. Raises SpecError with the path."""
    data = read_json(path, SpecError)
    try:
        return Study.from_json(data)
    except JobError as error:
        raise SpecError(f"{path}: {error}") from error


def write_study(path: Path, study: Study) -> None:
    """Write it in one step. Raises HostError on a full disk, ValueError for NaN or infinity."""
    write_json(path, study.to_json())

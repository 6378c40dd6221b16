"""Trials: the training jobs of a tuning job, as SageMaker lists them, read as trials of a study."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from contract.ranges import resolve_value
from contract.study import Study, StudyStatus, Trial, TrialStatus
from contract.tuning import TuningSpec

Summary = Mapping[str, Any]  # of ListTrainingJobsForHyperParameterTuningJob
Description = Mapping[str, Any]  # of DescribeTrainingJob, DescribeHyperParameterTuningJob
STATUSES: Mapping[str, TrialStatus] = {
    "InProgress": "InProgress",
    "Stopping": "InProgress",
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopped": "Stopped",
}
STUDY_STATUSES: Mapping[str, StudyStatus] = {
    "InProgress": "InProgress",
    "Stopping": "InProgress",
    "Deleting": "InProgress",
    "Completed": "Completed",
    "Failed": "Failed",
    "DeleteFailed": "Failed",
    "Stopped": "Stopped",
}
_NUMBER = re.compile(r"-(\d+)-[0-9a-f]+$")  # dogs-20261128-051500-007-1a2b3c4d


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the list does not say of a trial that has ended. All of it was measured."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: tuple[Mapping[str, float], ...] = ()
    secondary: str = ""  # SageMaker's SecondaryStatus, e.g. MaxRuntimeExceeded


def in_order(summaries: Iterable[Summary]) -> list[Summary]:
    """As they were begun: the list has no number, the job's name has."""

    def place(one: Summary) -> tuple[int, float, str]:
        name, created = str(one["TrainingJobName"]), one.get("CreationTime")
        found = _NUMBER.search(name)
        at = created.timestamp() if isinstance(created, datetime) else 0.0
        return (int(found[1]) if found else 0, at, name)

    return sorted(summaries, key=place)


def trial_of(number: int, summary: Summary, spec: TuningSpec, details: Details) -> Trial:
    """One training job as a trial. Its worker is the job's name: there its log and bundle lie.

    Raises HyperparameterError: a value is none of ours.
    """
    given = summary.get("TunedHyperParameters") or {}
    status = STATUSES.get(str(summary["TrainingJobStatus"]), "InProgress")
    final = summary.get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    if status == "Completed" and summary.get("ObjectiveStatus") == "Pending" and not final:
        status = "InProgress"  # its log is still being read
    began = summary.get("TrainingStartTime")
    return Trial(
        number=number,
        status=status,
        hyperparameters={
            name: resolve_value(name, given[name])[1] for name in spec.ranges if name in given
        },
        objective=float(final["Value"]) if "Value" in final and status != "Failed" else None,
        metrics=dict(details.metrics),
        curves=details.curves,
        seconds=_seconds(began, summary.get("TrainingEndTime")),
        started_at=_iso(began),
        worker=str(summary["TrainingJobName"]),
        reason=_reason(status, summary, spec, details),
    )


def study_from(found: Description, trials: Sequence[Trial], before: Study) -> Study:
    """The study as a tuning job's description has it; `before` is what was known of it."""
    status = STUDY_STATUSES.get(str(found["HyperParameterTuningJobStatus"]), "InProgress")
    reason = str(found.get("FailureReason") or "") or None
    ended = found.get("HyperParameterTuningEndTime") or found.get("LastModifiedTime")
    return replace(
        before,
        trials=tuple(trials),
        best=_best(found, trials, before.spec),
        status=status,
        seconds=_seconds(found.get("CreationTime"), ended),
        reason=reason or _why_early(found, status, len(trials), before.spec),
    )


def _best(found: Description, trials: Sequence[Trial], spec: TuningSpec) -> int | None:
    """SageMaker's choice; ours by the same rule where it has made none yet."""
    chosen = (found.get("BestTrainingJob") or {}).get("TrainingJobName")
    by_name = {trial.worker: trial.number for trial in trials}
    if chosen in by_name:
        return by_name[chosen]
    sign = -1.0 if spec.objective.maximize else 1.0
    done = [
        (sign * trial.objective, trial.number)
        for trial in trials
        if trial.status == "Completed" and trial.objective is not None
    ]
    return min(done)[1] if done else None


def _why_early(
    found: Description, status: StudyStatus, num_trials: int, spec: TuningSpec
) -> str | None:
    """SageMaker's own reasons to end a tuning job before its budget is used."""
    details = found.get("TuningJobCompletionDetails") or {}
    if status == "Stopped":
        return "it was stopped in AWS"
    if status != "Completed" or num_trials >= spec.num_jobs:
        return None
    if details.get("ConvergenceDetectedTime"):
        return "SageMaker expected no more gain"
    return "a completion criterion was met, or its time was over"


def _reason(
    status: TrialStatus, summary: Summary, spec: TuningSpec, details: Details
) -> str | None:
    if status == "Failed":
        said = " ".join(str(summary.get("FailureReason") or "").split())
        return said or "SageMaker gives no reason"
    if status == "Stopped":
        if details.secondary == "MaxRuntimeExceeded":
            return "max_run_seconds was over"
        if details.secondary == "MaxWaitTimeExceeded":
            return "no spot instance came in time"
        is_judged = spec.early_stopping == "Auto" or spec.hyperband is not None
        return "early: others were better by then" if is_judged else "in AWS"
    if status == "Completed" and summary.get("ObjectiveStatus") == "Failed":
        return f"its log had no {spec.objective.metric}"
    return None


def _seconds(began: object, ended: object) -> float:
    if not isinstance(began, datetime):
        return 0.0
    until = ended if isinstance(ended, datetime) else datetime.now(UTC)
    return max(0.0, round((until - began).total_seconds(), 1))


def _iso(moment: object) -> str:
    if not isinstance(moment, datetime):
        return ""
    return moment.astimezone(UTC).isoformat(timespec="seconds")

"""TuningWatch: a tuning job in AWS, looked at until it has ended; study.json grows meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from contract.study import Study, Trial, write_study
from contract.trial_line import trial_line
from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws.job.ending import final_metrics
from control.aws.job.interrupts import Interrupts
from control.aws.job.log_tail import LogTail
from control.aws.job.onlooker import Onlooker
from control.aws.job.watch import describe_training_job
from control.aws.tuning.epoch_rows import epoch_rows
from control.aws.tuning.trials import (
    STUDY_STATUSES,
    Description,
    Details,
    in_order,
    study_from,
    trial_of,
)
from control.aws.waiting import wait_for
from control.aws_client import AwsError
from control.study_runs import study_path
from control.terminal import complain, duration, say

# Counters of SageMaker's -> words. RetryableError: it is run again by SageMaker.
COUNTERS: Mapping[str, str] = {
    "Completed": "completed",
    "InProgress": "under way",
    "Stopped": "stopped",
    "NonRetryableError": "failed",
    "RetryableError": "to be tried again",
}
LOOK_PAGE = 100  # of the list of trials; AWS allows no more


def describe_tuning_job(name: str) -> Call:
    """For its state, its counts, and in the end its best training job."""
    return Call(
        service="sagemaker",
        operation="DescribeHyperParameterTuningJob",
        parameters={"HyperParameterTuningJobName": name},
    )


def list_trials(name: str) -> Call:
    """Its training jobs, page by page."""
    return Call(
        service="sagemaker",
        operation="ListTrainingJobsForHyperParameterTuningJob",
        parameters={"HyperParameterTuningJobName": name, "MaxResults": LOOK_PAGE},
    )


def stop_tuning_job(name: str) -> Call:
    """Trials under way are stopped, too: each has two minutes to save its network."""
    return Call(
        service="sagemaker",
        operation="StopHyperParameterTuningJob",
        parameters={"HyperParameterTuningJobName": name},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What AWS said at one moment."""

    found: Description
    trials: tuple[Trial, ...]  # by number

    @property
    def has_ended(self) -> bool:
        """Whether nothing changes any more."""
        return STUDY_STATUSES.get(str(self.found["HyperParameterTuningJobStatus"])) != "InProgress"


@dataclass(slots=True, kw_only=True)
class TuningWatch:
    """Looks at one tuning job, says what is new, and keeps study.json in step.

    Args:
        study: what an earlier session knew of it, or an empty one.
        folder: the run's.
        look_again: the command that goes on where this one leaves off.
    """

    account: Account
    name: str
    study: Study
    folder: Path
    echo: TextIO
    interrupts: Interrupts
    look_again: str
    billable: dict[str, float]  # training job -> seconds that are charged for each of its machines
    onlooker: Onlooker = field(init=False)
    _told: str = field(init=False, default="")
    _is_deaf: bool = field(init=False, default=False)  # logs cannot be read
    _details: dict[str, Details] = field(init=False, default_factory=dict)  # of ended trials

    def __post_init__(self) -> None:
        self.onlooker = Onlooker(
            what=f"tuning job {self.name}",
            again=self.look_again,
            stopping=f"{self.look_again} --stop",
            stop=self._stop,
            interrupts=self.interrupts,
            echo=self.echo,
            folder=self.folder,
        )

    def until_end(self, limit_seconds: float) -> Study:
        """Wait for its end and return the study as it is then.

        Raises DetachedError after Ctrl-C, HostError over the limit, AwsError when AWS refuses;
        in each case the tuning job goes on.
        """
        return self.onlooker.until_end(lambda: self._wait(limit_seconds))

    def _wait(self, limit_seconds: float) -> Study:
        wait_for(
            self.look,
            lambda look: look.has_ended,
            what=self.onlooker.what,
            limit_seconds=limit_seconds,
            look_again=self.look_again,
            on_answer=self._hear,
        )
        self._hear_late()
        return self.study

    def look(self) -> Look:
        """What there is, and what AWS knows of trials that have ended since. Raises AwsError."""
        doing = f"tuning job {self.name}"
        found = self.account.send(describe_tuning_job(self.name), doing)
        listed = self.account.pages(list_trials(self.name), "TrainingJobSummaries", doing)
        summaries = in_order(listed)
        known = {trial.worker: trial for trial in self.study.trials if trial.status != "InProgress"}
        trials: list[Trial] = []
        for number, summary in enumerate(summaries, start=1):
            job = str(summary["TrainingJobName"])
            if job in known:
                trials.append(replace(known[job], number=number))
                continue
            trial = trial_of(number, summary, self.study.spec, Details())
            if trial.status != "InProgress":
                trial = trial_of(number, summary, self.study.spec, self._details_of(job))
            trials.append(trial)
        return Look(found=found, trials=tuple(trials))

    def stop(self) -> None:
        """Ask AWS to stop it; trials under way are stopped, too. Raises AwsError."""
        try:
            self.account.send(stop_tuning_job(self.name), f"tuning job {self.name}")
        except AwsError as error:
            if error.code != "ValidationException" or is_missing(error):
                raise  # otherwise it has ended already

    def _hear(self, look: Look) -> None:
        with self.interrupts.held():
            known = {one.worker for one in self.study.trials if one.status != "InProgress"}
            self.study = study_from(look.found, look.trials, self.study)
            write_study(study_path(self.folder), self.study)
            for trial in look.trials:
                if trial.status != "InProgress" and trial.worker not in known:
                    line = trial_line(self.study.spec, trial, self._best_until(trial))
                    say(line, to=self.echo)
            self._tell_counts(look.found)

    def _best_until(self, last: Trial) -> Trial | None:
        """The best of the trials that have ended, as it stood when this one had."""
        sign = -1.0 if self.study.spec.objective.maximize else 1.0
        done = [
            (sign * trial.objective, trial.number, trial)
            for trial in self.study.trials
            if trial.status == "Completed"
            and trial.objective is not None
            and trial.number <= last.number
        ]
        return min(done, key=lambda one: one[:2])[2] if done else None

    def _details_of(self, job: str) -> Details:
        if job not in self._details:
            found = self.account.send(describe_training_job(job), f"training job {job}")
            self.billable[job] = float(found.get("BillableTimeInSeconds") or 0.0)
            self._details[job] = Details(
                metrics=final_metrics(found),
                curves=self._curves(job),
                secondary=str(found.get("SecondaryStatus", "")),
            )
        return self._details[job]

    def _curves(self, job: str) -> tuple[Mapping[str, float], ...]:
        """From its log: AWS itself keeps the last value of each metric only."""
        if self._is_deaf:
            return ()
        try:
            lines = LogTail(self.account, f"{job}/").read()
        except AwsError as error:
            if not error.is_transient:
                self._is_deaf = True
                complain(f"note: trials are shown without their curves: {error}")
            return ()
        return epoch_rows(line.text for line in lines)

    def _hear_late(self) -> None:
        """Lines may arrive after a trial's end: curves that were not there are looked for again."""
        trials = tuple(
            replace(trial, curves=self._curves(trial.worker))
            if trial.status in ("Completed", "Stopped") and not trial.curves
            else trial
            for trial in self.study.trials
        )
        self.study = replace(self.study, trials=trials)
        write_study(study_path(self.folder), self.study)

    def _tell_counts(self, found: Description) -> None:
        counters = found.get("TrainingJobStatusCounters") or {}
        counts = [f"{counters[key]} {word}" for key, word in COUNTERS.items() if counters.get(key)]
        told = f"{found['HyperParameterTuningJobStatus']}, {', '.join(counts) or 'no trial yet'}"
        if told != self._told:
            self._told = told
            after = f" after {duration(self.study.seconds)}" if self.study.seconds else ""
            say(f"aws:     {told} of {self.study.spec.num_jobs}{after}", to=self.echo)

    def _stop(self) -> None:
        self.stop()
        say("stop:    asked for; trials under way are stopped, too", to=self.echo)

"""The study as a tuning job in SageMaker: created, followed, read as a study of here."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from contract.errors import HostError, UsageError
from contract.files import staging
from contract.opt_ml import OptMl
from contract.study import Study, Trial, read_study, write_study
from contract.tuning import TUNING_KEY, TuningSpec
from control.aws.account import Account
from control.aws.job.interrupts import Interrupts
from control.aws.job.outputs import MODEL, fetch_outputs, outputs_of
from control.aws.job.run_sagemaker import console_link
from control.aws.job.starting import Asked, check_region, making, new_run
from control.aws.job.watch import describe_training_job
from control.aws.names import check_image_region
from control.aws.prices import price_per_hour
from control.aws.tuning.study_child import draw_study
from control.aws.tuning.tuning_plan import TuningPlan, plan_tuning
from control.aws.tuning.tuning_watch import (
    TuningWatch,
    describe_tuning_job,
    list_trials,
    stop_tuning_job,
)
from control.aws_client import AwsError
from control.aws_place import AwsPlace
from control.job_spec import DAY_SECONDS
from control.runs import RUNS, Run, make_run_folder, read_run, write_run
from control.study_runs import StudyRun, study_of, study_path
from control.terminal import complain, say
from control.tuning_file import Tuning

TUNING_JOB = "tuning-job"  # what a run in AWS is, in its run.json
BUNDLE = "model"  # below the run's folder, as training leaves it


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRunner:
    """Runs studies as tuning jobs. Their folders look as those of local studies do."""

    account: Account = field(default_factory=Account)
    runs: Path = RUNS
    echo: TextIO = field(default_factory=lambda: sys.stdout)
    look_again: str  # the command that goes on where this one leaves off

    def plan(self, tuning: Tuning, at: float | None = None) -> TuningPlan:
        """What `run` sends. Asks AWS for nothing but what short names of role and image stand for.

        Args:
            at: seconds since 1970, for the tuning job's name; now.

        Raises SpecError: no [aws], or what AWS would refuse; ChannelError, UsageError, AwsError.
        """
        return plan_tuning(tuning, self.account, at)

    def check(self, plan: TuningPlan) -> None:
        """Raises UsageError: AWS would refuse it in this region. Asks nobody."""
        check_image_region(plan.place.image, self.account)

    def run(self, tuning: Tuning, plan: TuningPlan | None = None) -> StudyRun:
        """Create the tuning job and follow it to its end.

        Raises DetachedError after Ctrl-C, AwsError when AWS refuses, HostError.
        """
        plan = plan or self.plan(tuning)
        folder = make_run_folder(self.runs, tuning.spec.name)
        where, values = self._where(tuning, plan), _hyperparameters(tuning.spec)
        run = new_run(tuning.spec.name, folder, where, values, tuning.channels)
        write_study(study_path(folder), Study(spec=tuning.spec))
        say(f"study {tuning.spec.name} in {folder}", to=self.echo)
        with self._watching(run) as watch:
            with making(run, watch.onlooker):
                self._create(plan)
            say(f"aws:     tuning job {plan.name} in {where['region']}", to=self.echo)
            say(f"         {where['console']}", to=self.echo)
            return self._follow(run, watch)

    def attach(self, found: StudyRun) -> StudyRun:
        """Follow the tuning job of an earlier session to its end.

        Raises as `run` does, and UsageError: AWS has no such job, as when that session was killed
        before it had created it.
        """
        run = found.run
        check_region(run, self.account)
        name = run.aws["job"]
        if self.account.find(describe_tuning_job(name), f"tuning job {name}") is None:
            reason = f"AWS has no tuning job {name}"
            write_run(replace(run, status="Failed", failure_reason=reason))
            raise UsageError(f"{run.folder}: {reason}; the same command again makes another one")
        with self._watching(run) as watch:
            return self._follow(replace(run, pid=os.getpid()), watch)

    def stop(self, found: StudyRun) -> None:
        """Ask AWS to stop the tuning job. Raises AwsError, UsageError."""
        check_region(found.run, self.account)
        with self._watching(found.run) as watch:
            watch.stop()

    def stopping(self, found: StudyRun) -> Asked:
        """What `stop` sends. Asks nobody."""
        check_region(found.run, self.account)
        return Asked((stop_tuning_job(found.run.aws["job"]),))

    def asks(self, found: StudyRun) -> Asked:
        """What `attach` asks over and over. Asks nobody."""
        check_region(found.run, self.account)
        note = "until it has ended; then of each trial DescribeTrainingJob, and its log"
        name = str(found.run.aws["job"])
        return Asked((describe_tuning_job(name), list_trials(name)), note)

    def fetching(self, found: StudyRun) -> Asked:
        """What `fetch_best` asks. Asks nobody. Raises UsageError."""
        check_region(found.run, self.account)
        _, best = _best_of(found)
        note = "then its outputs in S3, from where that says"
        return Asked((describe_training_job(best.worker),), note)

    def fetch_best(self, found: StudyRun) -> StudyRun:
        """The best trial's bundle, as the study's own; what else that trial left, in best-trial/.

        Raises UsageError: there is no best trial, or it left no bundle; AwsError, BundleError.
        """
        check_region(found.run, self.account)
        folder = found.run.folder
        study, best = _best_of(found)
        described = self.account.send(
            describe_training_job(best.worker), f"training job {best.worker}"
        )
        where = outputs_of(described["OutputDataConfig"]["S3OutputPath"], best.worker)
        beside = folder / "best-trial"
        got = fetch_outputs(where, beside)
        if MODEL not in got:
            raise HostError(f"trial {best.number} left no {MODEL} in {where}")
        with staging(folder) as staged:
            ours = OptMl(folder).model_dir
            if ours.exists():
                os.replace(ours, staged / "before")
            os.replace(OptMl(beside).model_dir, ours)
        say(f"fetched: {MODEL} of trial {best.number} from {where}", to=self.echo)
        write_study(study_path(folder), replace(study, bundle=BUNDLE))
        return study_of(read_run(folder))

    def _create(self, plan: TuningPlan) -> None:
        """Send its calls. An answer that got lost on its way leaves a job that is there: ours."""
        for call in plan.calls:
            try:
                self.account.send(call, f"tuning job {plan.name}")
            except AwsError as error:
                if error.code != "ResourceInUse":
                    raise
                found = self.account.find(describe_tuning_job(plan.name)) or {}
                theirs = found.get("HyperParameterTuningJobConfig") or {}
                ours = call.parameters["HyperParameterTuningJobConfig"]
                if any(theirs.get(name) != ours[name] for name in ours):
                    raise

    def _where(self, tuning: Tuning, plan: TuningPlan) -> dict[str, Any]:
        region = self.account.region
        path = f"/hyper-tuning-jobs/{plan.name}"
        return {
            "kind": TUNING_JOB,
            "job": plan.name,
            "region": region,
            "console": console_link(self.account.partition, region, path),
            "instance_type": plan.place.instance_type,
            "instance_count": plan.place.instance_count,
            "is_spot": plan.place.spot,
            "price_per_hour": _trial_price(tuning, plan.place),
            "limit_seconds": _limit(tuning),
        }

    @contextmanager
    def _watching(self, run: Run) -> Iterator[TuningWatch]:
        with Interrupts() as interrupts:
            yield TuningWatch(
                account=self.account,
                name=run.aws["job"],
                study=read_study(study_path(run.folder)),
                folder=run.folder,
                echo=self.echo,
                interrupts=interrupts,
                look_again=self.look_again,
                billable=dict(run.aws.get("billable") or {}),
            )

    def _follow(self, run: Run, watch: TuningWatch) -> StudyRun:
        write_run(run)
        try:
            study = watch.until_end(float(run.aws["limit_seconds"]))
        finally:  # also for the session that goes on from here
            run = replace(run, aws={**run.aws, "billable": watch.billable})
            write_run(run)
        best = study.best_trial
        ended = replace(
            run,
            status=study.status,
            seconds=study.seconds,
            metrics=dict(best.metrics) if best else {},
            failure_reason=study.reason if study.status != "Completed" else None,
            aws={**run.aws, "bill": _bill(run, study)},
        )
        write_run(ended)
        self._draw(run)
        without = [str(one.number) for one in study.trials if one.metrics and not one.curves]
        if without:
            say(
                f"curves:  AWS's log has none of trial{'s' if len(without) > 1 else ''} "
                f"{', '.join(without)}: the page goes without them",
                to=self.echo,
            )
        return study_of(read_run(run.folder))

    def _draw(self, run: Run) -> None:
        """The page. Without it the study is as good, and the next command can draw it."""
        try:
            draw_study(study_path(run.folder).parent, run.aws.get("price_per_hour"))
        except HostError as error:
            complain(error)


def _best_of(found: StudyRun) -> tuple[Study, Trial]:
    """Raises UsageError: there is no best trial yet."""
    study = found.study
    if study is None or study.best_trial is None:
        raise UsageError(f"{found.run.folder}: no trial of this study has come to an end yet")
    return study, study.best_trial


def _trial_price(tuning: Tuning, place: AwsPlace) -> float | None:
    """US dollars an hour of one trial, as the file or the table says; for the page."""
    price = tuning.spec.price_per_hour or price_per_hour(place.instance_type, "training")
    return None if price is None else price * place.instance_count


def _limit(tuning: Tuning) -> float:
    """Seconds until nobody waits any more, twice as long as all trials one after another take."""
    runtime = tuning.spec.max_runtime_seconds
    return 2.0 * (runtime or tuning.spec.num_jobs * tuning.trial_seconds) + DAY_SECONDS


def _hyperparameters(spec: TuningSpec) -> dict[str, str]:
    """As a study of here has them in run.json. SageMaker's limit on one value does not hold."""
    data = {name: value for name, value in spec.to_json().items() if name != "static"}
    return {**spec.static, TUNING_KEY: json.dumps(data, separators=(",", ":"))}


def _bill(run: Run, study: Study) -> Mapping[str, Any]:
    """As of training jobs: what all trials together are charged."""
    billable = run.aws.get("billable") or {}
    seconds = sum(billable.values())
    price = price_per_hour(run.aws["instance_type"], "training")
    count = run.aws["instance_count"]
    trained = sum(trial.seconds for trial in study.trials)
    return {
        "instance_type": run.aws["instance_type"],
        "instance_count": count,
        "is_spot": run.aws["is_spot"],
        "training_seconds": trained,
        "billable_seconds": seconds,
        "usd": None if price is None else round(price * count * seconds / 3600, 4),
        "saving": round(1 - seconds / trained, 4) if run.aws["is_spot"] and trained else None,
    }

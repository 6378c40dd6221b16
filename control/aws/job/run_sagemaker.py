"""The job in SageMaker: made, followed to its end, its outputs fetched into the run's folder."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from contract.errors import UsageError
from contract.job import JobResult
from contract.opt_ml import OptMl
from control.aws.account import Account
from control.aws.job.ending import bill_of, final_metrics, reason_of, seconds_of, status_of
from control.aws.job.findings import findings_of, wait_for_rules
from control.aws.job.interrupts import Interrupts
from control.aws.job.log_tail import describe_streams
from control.aws.job.outputs import MODEL, fetch_outputs, outputs_of
from control.aws.job.plan import TrainingPlan, plan_training
from control.aws.job.starting import Asked, check_region, check_started, making, new_run
from control.aws.job.watch import (
    Description,
    JobWatch,
    describe_training_job,
    stop_job,
    stop_training_job,
)
from control.aws.names import check_image_region
from control.aws_client import AwsError
from control.job_spec import JobSpec
from control.rule_text import summary_of
from control.runs import LOG_NAME, RUNS, Run, make_run_folder, write_run
from control.s3 import S3Uri
from control.terminal import say
from control.transcript import Transcript

TRAINING_JOB = "training-job"  # what a run in AWS is, in its run.json
CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}
COMMERCIAL = "console.aws.amazon.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class SageMakerRunner:
    """Runs jobs as training jobs of SageMaker. Its folders look as those of local runs do."""

    account: Account = field(default_factory=Account)
    runs: Path = RUNS
    echo: TextIO = field(default_factory=lambda: sys.stdout)  # where the job's lines are shown

    def plan(self, spec: JobSpec) -> TrainingPlan:
        """What `run` sends, and what it may cost."""
        return plan_training(spec, self.account)

    def check(self, plan: TrainingPlan) -> None:
        """Raises UsageError: AWS would refuse it in this region. Asks nobody."""
        check_image_region(plan.image, self.account)

    def run(
        self, spec: JobSpec, folder: Path | None = None, plan: TrainingPlan | None = None
    ) -> JobResult:
        """Create the job and follow it to its end.

        With `folder`, an earlier session of the same study goes on there.
        Raises DetachedError after Ctrl-C, AwsError when AWS refuses, HostError, BundleError.
        """
        plan = plan or self.plan(spec)
        folder = folder or make_run_folder(self.runs, spec.name)
        where = self._where(plan.name)
        run = new_run(spec.name, folder, where, spec.hyperparameters, spec.channels)
        say(f"job {spec.name} in {folder}", to=self.echo)
        with self._watching(run) as watch:
            with making(run, watch.onlooker):
                self._create(plan)
            say(f"aws:     training job {plan.name} in {where['region']}", to=self.echo)
            say(f"         {where['console']}", to=self.echo)
            return self._follow(run, watch)

    def attach(self, run: Run) -> JobResult:
        """Follow the job of an earlier run again, to its end; what has ended is fetched anew.

        Raises as `run` does, and UsageError: it is in another region.
        """
        check_region(run, self.account)
        check_started(run)
        with self._watching(run) as watch:
            return self._follow(replace(run, pid=os.getpid()), watch)

    def adopt(self, job: str) -> Run:
        """A run for a training job that another machine, or a tuning job, has started.

        Raises UsageError: there is none of that name. AwsError.
        """
        found = self.account.find(describe_training_job(job), f"training job {job}")
        if found is None:
            raise UsageError(
                f"no run is called {job!r} in {self.runs}/, and no training job in "
                f"{self.account.region}: see `kennel list`"
            )
        run = Run(
            name=job,
            folder=make_run_folder(self.runs, job),
            started_at=_iso(found.get("CreationTime")),
            hyperparameters=dict(found.get("HyperParameters") or {}),
            channels=_channels_of(found),
            aws=self._where(job),
        )
        write_run(run)
        return run

    def stop(self, run: Run) -> bool:
        """Ask AWS to stop the job; False when it has ended already.

        Raises AwsError; UsageError: it is in another region.
        """
        check_region(run, self.account)
        return stop_job(self.account, run.aws["job"])

    def asks(self, run: Run | str) -> Asked:
        """What `attach` asks over and over; `run` may be a job's name in AWS. Asks nobody."""
        if isinstance(run, Run):
            check_region(run, self.account)
        job = run.aws["job"] if isinstance(run, Run) else run
        note = (
            "until the job has ended; then, and for the lines of each log stream (GetLogEvents), "
            "the answers say what else is read"
        )
        return Asked((describe_training_job(job), describe_streams(f"{job}/")), note)

    def stopping(self, run: Run) -> Asked:
        """What `stop` sends. Asks nobody."""
        check_region(run, self.account)
        return Asked((stop_training_job(run.aws["job"]),))

    def _create(self, plan: TrainingPlan) -> None:
        """Send its calls. An answer that got lost on its way leaves a job that is there: ours."""
        *before, create = plan.calls
        for call in before:
            self.account.send(call, f"training job {plan.name}")
        try:
            self.account.send(create, f"training job {plan.name}")
        except AwsError as error:
            if error.code != "ResourceInUse":
                raise
            found = self.account.find(describe_training_job(plan.name)) or {}
            if not found or gist_of(found) != gist_of(create.parameters):
                raise

    def _where(self, job: str) -> dict[str, Any]:
        region = self.account.region
        return {
            "kind": TRAINING_JOB,
            "job": job,
            "region": region,
            "console": console_link(self.account.partition, region, f"/jobs/{job}"),
        }

    @contextmanager
    def _watching(self, run: Run) -> Iterator[JobWatch]:
        with Interrupts() as interrupts, Transcript(run.folder / LOG_NAME) as log:
            yield JobWatch(
                account=self.account,
                name=run.aws["job"],
                folder=run.folder,
                log=log,
                echo=self.echo,
                interrupts=interrupts,
            )

    def _follow(self, run: Run, watch: JobWatch) -> JobResult:
        if run.status == "InProgress":
            write_run(run)
        found = watch.until_end()
        with watch.onlooker.fetching():
            watch.wait_for_last_lines()
            found = wait_for_rules(self.account, found, watch.onlooker.again, self.echo)
            return self._fetch(run, found, {**final_metrics(found), **watch.log.metrics})

    def _fetch(self, run: Run, found: Description, metrics: Mapping[str, float]) -> JobResult:
        """Its outputs. run.json says first how it ended: what fails here can be done again."""
        ended = _ended(run, found, metrics)
        write_run(ended)
        where = outputs_of(found["OutputDataConfig"]["S3OutputPath"], run.aws["job"])
        try:
            got = fetch_outputs(where, run.folder)
            rules = findings_of(found, run.folder)
        except AwsError as error:
            told = f"training job {run.aws['job']}: {ended.status}, but {error}"
            again = f"`kennel run --attach {run.folder}` fetches what it left"
            raise AwsError(f"{told}; {again}", error.code) from None
        missing = "" if MODEL in got else f"; there is no {MODEL} in {where}"
        say(f"fetched: {', '.join(got) or 'nothing'}{missing}", to=self.echo)
        status, reason = status_of(found, rules), reason_of(found, rules)
        summaries = [summary_of(one) for one in rules]
        write_run(replace(ended, status=status, failure_reason=reason, rules=summaries))
        return JobResult(
            name=run.name,
            status=status,
            folder=run.folder,
            model_dir=OptMl(run.folder).model_dir,
            metrics=metrics,
            failure_reason=reason,
            seconds=ended.seconds,
        )


def gist_of(job: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one job from another in a request and in a description: AWS adds to the rest."""
    machines, image = job["ResourceConfig"], job["AlgorithmSpecification"]["TrainingImage"]
    return {
        "hyperparameters": dict(job.get("HyperParameters") or {}),
        "channels": _channels_of(job),
        "places": (image, job["RoleArn"], job["OutputDataConfig"]["S3OutputPath"]),
        "machines": (machines["InstanceType"], machines["InstanceCount"]),
    }


def console_link(partition: str, region: str, path: str) -> str:
    """Where a browser shows a thing of SageMaker's; `path` as the console has it."""
    host = CONSOLES.get(partition, f"{region}.{COMMERCIAL}")
    return f"https://{host}/sagemaker/home?region={region}#{path}"


def _ended(run: Run, found: Description, metrics: Mapping[str, float]) -> Run:
    return replace(
        run,
        status=status_of(found, ()),
        seconds=round(seconds_of(found), 1),
        metrics=metrics,
        failure_reason=reason_of(found, ()),
        aws={**run.aws, "bill": bill_of(found).to_json(), **_tensors_of(found, run.aws["job"])},
    )


def _tensors_of(found: Description, job: str) -> dict[str, str]:
    """Where the Debugger and the profiler have saved; nothing when neither was on."""
    for name in ("DebugHookConfig", "ProfilerConfig"):
        if output := (found.get(name) or {}).get("S3OutputPath"):
            return {"tensors": str(S3Uri.parse(output).join(job))}
    return {}


def _channels_of(found: Mapping[str, Any]) -> dict[str, str]:
    return {
        one["ChannelName"]: str(one["DataSource"].get("S3DataSource", {}).get("S3Uri", ""))
        for one in found.get("InputDataConfig") or []
    }


def _iso(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else ""

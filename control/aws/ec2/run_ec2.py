"""The job on an EC2 instance of its own: started, followed to its end, its outputs fetched."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from contract.job import JobResult
from contract.metrics import read_metrics
from contract.opt_ml import OptMl
from control.aws.account import Account
from control.aws.call import Call
from control.aws.ec2.instance_plan import InstancePlan, plan_instance
from control.aws.ec2.instance_request import (
    JOB_TAG,
    request_to_find,
    request_to_read,
    request_to_stop,
)
from control.aws.ec2.instance_status import STATUS_NAME, Look
from control.aws.ec2.instance_watch import InstanceWatch
from control.aws.job.interrupts import Interrupts
from control.aws.job.outputs import MODEL, fetch_outputs, outputs_of
from control.aws.job.run_sagemaker import COMMERCIAL, CONSOLES
from control.aws.job.starting import (
    Asked,
    age_of,
    check_region,
    check_started,
    making,
    new_run,
)
from control.aws.prices import price_per_hour
from control.aws_client import AwsError
from control.job_spec import JobSpec
from control.runs import LOG_NAME, RUNS, Run, make_run_folder, write_run
from control.s3 import S3Uri
from control.terminal import say
from control.transcript import Transcript

EC2_INSTANCE = "ec2-instance"  # what a run in AWS is, in its run.json


@dataclass(frozen=True, slots=True, kw_only=True)
class Ec2Runner:
    """Runs jobs on instances that end themselves. Its folders look as those of local runs do."""

    account: Account = field(default_factory=Account)
    runs: Path = RUNS
    echo: TextIO = field(default_factory=lambda: sys.stdout)  # where the job's lines are shown

    def plan(self, spec: JobSpec, at: float | None = None) -> InstancePlan:
        """What `run` sends, and what it may cost."""
        return plan_instance(spec, self.account, at)

    def check(self, plan: InstancePlan) -> None:
        """Nothing is left to be refused: an instance fetches its image from any region."""

    def run(
        self, spec: JobSpec, folder: Path | None = None, plan: InstancePlan | None = None
    ) -> JobResult:
        """Start the instance and follow its job to the end.

        Raises DetachedError after Ctrl-C, AwsError when AWS refuses, HostError, BundleError.
        """
        plan = plan or self.plan(spec)
        folder = folder or make_run_folder(self.runs, spec.name)
        where = self._where(spec, plan)
        run = new_run(spec.name, folder, where, spec.hyperparameters, spec.channels)
        say(f"job {spec.name} in {folder}", to=self.echo)
        with self._watching(run) as watch:
            with making(run, watch.onlooker):
                for call in plan.calls:
                    self.account.send(call, f"the instance of job {plan.name}")
            say(f"ec2:     job {plan.name} in {where['region']}", to=self.echo)
            return self._follow(run, watch)

    def attach(self, run: Run) -> JobResult:
        """Follow the job of an earlier run again, to its end; what has ended is fetched anew.

        Raises as `run` does, and UsageError: it is in another region.
        """
        check_region(run, self.account)
        check_started(run)
        with self._watching(run) as watch:
            return self._follow(replace(run, pid=os.getpid()), watch)

    def stop(self, run: Run) -> bool:
        """Ask the job to end; an instance that has not begun to train ends at once.

        Returns whether there was anything to end.

        Raises AwsError, UsageError.
        """
        check_region(run, self.account)
        with self._watching(run) as watch:
            is_asked = watch.stop()
        if is_asked:
            write_run(replace(run, aws={**run.aws, "was_stopped": True}))
        return is_asked

    def asks(self, run: Run) -> Asked:
        """What `attach` asks over and over. Asks nobody."""
        check_region(run, self.account)
        note = (
            f"until the job has ended, and each time what is new in {LOG_NAME} beside it; then "
            "its outputs"
        )
        return Asked(_looks(run), note)

    def stopping(self, run: Run) -> Asked:
        """What `stop` sends. Asks nobody."""
        check_region(run, self.account)
        note = (
            "the last one when the training has begun; before, TerminateInstances with the id "
            "that DescribeInstances answers"
        )
        return Asked((*_looks(run), request_to_stop(S3Uri.parse(run.aws["output"]))), note)

    def _where(self, spec: JobSpec, plan: InstancePlan) -> dict[str, Any]:
        return {
            "kind": EC2_INSTANCE,
            "job": plan.name,
            "region": self.account.region,
            "console": _console(self.account, plan.name),
            "output": str(S3Uri.parse(plan.output).join(plan.name)),
            "instance_type": spec.ec2.instance_type,
            "is_spot": spec.ec2.spot,
            "limit_seconds": plan.limit_seconds,
        }

    @contextmanager
    def _watching(self, run: Run) -> Iterator[InstanceWatch]:
        with Interrupts() as interrupts, Transcript(run.folder / LOG_NAME) as log:
            yield InstanceWatch(
                account=self.account,
                job=run.aws["job"],
                where=S3Uri.parse(run.aws["output"]),
                limit_seconds=float(run.aws["limit_seconds"]),
                folder=run.folder,
                log=log,
                echo=self.echo,
                interrupts=interrupts,
                was_stopped=bool(run.aws.get("was_stopped")),
                age_seconds=age_of(run),
            )

    def _follow(self, run: Run, watch: InstanceWatch) -> JobResult:
        if run.status == "InProgress":
            write_run(run)
        try:
            look = watch.until_end()
        finally:
            if watch.onlooker.was_stopped and not run.aws.get("was_stopped"):
                run = replace(run, aws={**run.aws, "was_stopped": True})
                write_run(run)
        with watch.onlooker.fetching():
            return self._fetch(run, look, _metrics_of(run.folder / LOG_NAME))

    def _fetch(self, run: Run, look: Look, metrics: Mapping[str, float]) -> JobResult:
        """Its outputs. run.json says first how it ended: what fails here can be done again."""
        status, reason = look.verdict(was_stopped=bool(run.aws.get("was_stopped")))
        ended = replace(
            run,
            status=status,
            seconds=round(look.status.seconds, 1),
            metrics=metrics,
            failure_reason=reason or None,
            aws={**run.aws, "instance": look.state.id, "bill": _bill(run, look)},
        )
        write_run(ended)
        where = outputs_of(run.aws["output"].rpartition("/")[0], run.aws["job"])
        try:
            got = fetch_outputs(where, run.folder)
        except AwsError as error:
            again = f"`kennel run --attach {run.folder}` fetches what it left"
            told = f"job {run.name}: {status}, but {error}; {again}"
            raise AwsError(told, error.code) from None
        missing = "" if MODEL in got else f"; there is no {MODEL} in {where}"
        found = f"{', '.join(got)} from {where}" if got else "nothing"
        say(f"fetched: {found}{missing}", to=self.echo)
        return JobResult(
            name=run.name,
            status=status,
            folder=run.folder,
            model_dir=OptMl(run.folder).model_dir,
            metrics=metrics,
            failure_reason=reason or None,
            seconds=ended.seconds,
        )


def _looks(run: Run) -> tuple[Call, Call]:
    """What is asked first, whatever is wanted."""
    where = S3Uri.parse(run.aws["output"])
    return request_to_find(run.aws["job"]), request_to_read(where, STATUS_NAME)


def _metrics_of(log: Path) -> dict[str, float]:
    """The last value of each, also from lines of earlier sessions."""
    metrics: dict[str, float] = {}
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            metrics.update(read_metrics(line))
    return metrics


def _console(account: Account, job: str) -> str:
    region = account.region
    host = CONSOLES.get(account.partition, f"{region}.{COMMERCIAL}")
    return f"https://{host}/ec2/home?region={region}#Instances:tag:{JOB_TAG}={job}"


def _bill(run: Run, look: Look) -> dict[str, Any]:
    """As of training jobs, by the seconds that the instance counted. Spot has no list price."""
    kind, is_spot = str(run.aws["instance_type"]), bool(run.aws["is_spot"])
    price = None if is_spot else price_per_hour(kind, "ec2")
    return {
        "instance_type": kind,
        "instance_count": 1,
        "is_spot": is_spot,
        "training_seconds": look.status.training_seconds,
        "billable_seconds": look.status.seconds,
        "usd": None if price is None else round(price * look.status.seconds / 3600, 4),
        "saving": None,
    }

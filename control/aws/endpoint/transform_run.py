"""TransformRun: a batch transform from its description to the table of answers.

The folder of results remembers which job it waits for, so the same command goes on where an
earlier one was stopped, detached or killed.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from contract.errors import HostError, SpecError, UsageError
from contract.files import read_json, write_json
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.artifact import upload
from control.aws.endpoint.last_lines import last_lines
from control.aws.endpoint.transform_count import AnswerCount, boundaries_of
from control.aws.endpoint.transform_fetch import THREADS, Answers, base_of, fetch
from control.aws.endpoint.transform_list import folder_of, list_objects, manifest_of_names
from control.aws.endpoint.transform_plan import TransformPlan
from control.aws.endpoint.transform_reasons import NO_REASON, Reason, reasons_in
from control.aws.endpoint.transform_request import answers_of, manifest_call, transform_of
from control.aws.endpoint.transform_spec import TransformSpec
from control.aws.endpoint.transform_watch import (
    Description,
    TransformWatch,
    describe_transform_job,
    seconds_of,
)
from control.aws.job.interrupts import DetachedError, Interrupts
from control.aws.job.log_tail import LogTail
from control.aws.money import agree
from control.aws.names import stamped
from control.aws.waiting import wait_for
from control.aws_client import AwsError
from control.child import counting_signals
from control.progress import Progress
from control.s3 import S3
from control.terminal import complain, say
from control.transform_output import TransformOutput
from control.transform_plan import read_plan
from control.transform_results import ResultFiles, State, TransformJob

GROUP = "/aws/sagemaker/TransformJobs"
RECORD_NAME = "aws.json"  # in the folder of results, until they are complete
STOPPED = Reason(text="the job was stopped before its turn")
SETTLE_SECONDS = 60.0  # until SageMaker finds a model that was just made


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How it ended. Without a job, when all was there already."""

    state: State
    job: str = ""
    status: str = "Completed"  # SageMaker's word
    reason: str = ""
    seconds: float = 0.0  # of the machines


@dataclass(slots=True, kw_only=True)
class TransformRun:
    """One batch transform and its folder of results.

    Args:
        again: the command that goes on where this one leaves off.
    """

    plan: TransformPlan
    account: Account
    output: TransformOutput
    again: str
    is_yes: bool
    echo: TextIO
    interrupts: Interrupts
    s3: S3 = field(default_factory=lambda: S3(THREADS))
    job: str = field(init=False, default="")  # its name in AWS, once there is one

    @property
    def transform(self) -> TransformSpec:
        """What is asked for."""
        return transform_of(self.plan.spec)

    def run(self) -> Outcome:
        """Exit codes are the caller's. Raises DetachedError, AwsError, HostError, UsageError."""
        transform = self.transform
        job = TransformJob(
            input=str(transform.input),
            model=self.plan.model_data,
            format=transform.format,
            content_type=transform.content_type,
        )
        state = self._found(job)
        if state and state.done == state.total:
            self.output.publish(state)  # a kill may have come in between
            return Outcome(state=state)
        name = self._begun() if state else ""
        if not (state and name):
            state = list_objects(transform, self.s3, self.output.folder, job)
            name = self._begin(state)
        self.job = name
        found = self._follow(name, state)
        self._remove_model(name)
        return self._collect(name, found, state)

    def _found(self, job: TransformJob) -> State | None:
        try:
            return self.output.find(job)
        except UsageError:
            raise UsageError(
                f"{self.output.place('')} holds answers of another model, input or format, and one "
                "table is never made of two: name another folder, results in [transform], or "
                "remove that one"
            ) from None

    def _begin(self, state: State) -> str:
        """Make the model and the job; the job's name. What AWS refuses leaves nothing half made."""
        say(f"input:   {state.total:,} objects of {self.transform.input}", to=self.echo)
        agree([self.plan.cost], is_yes=self.is_yes, to=self.echo)
        if self.plan.artifact and upload(self.account, self.plan.artifact):
            say(f"model:   uploaded to {self.plan.model_data}", to=self.echo)
        name = stamped(self.plan.spec.name)
        with self.interrupts.held():
            # Before the job is made: one that nobody remembers would cost without use.
            write_json(self._record, {"job": name})
            try:
                self._create(name)
            except HostError as error:
                # Where no answer came the job may be there: the same command looks.
                if not (isinstance(error, AwsError) and error.is_transient):
                    self._remove_model(name)
                    self._record.unlink(missing_ok=True)
                raise
        say(f"job:     {name}", to=self.echo)
        return name

    def _create(self, name: str) -> None:
        """Send what --show prints."""
        model, job = self.plan.calls(name)
        if self.transform.is_only_pictures:
            manifest = manifest_of_names(self.transform, self._names())
            self.account.send(manifest_call(self.transform, name, manifest), "the manifest")
        self._send(model, f"model {name}")

        def make() -> bool:
            try:
                self._send(job, f"transform job {name}")
            except AwsError as error:
                if "could not find model" in str(error).lower():
                    return False
                raise
            return True

        wait_for(
            make,
            bool,
            what=f"model {name}",
            limit_seconds=SETTLE_SECONDS,
            look_again=self.again,
        )

    def _send(self, call: Call, doing: str) -> None:
        """Nobody else has the name: what exists was made by a call whose answer was lost."""
        try:
            self.account.send(call, doing)
        except AwsError as error:
            if not (error.code == "ResourceInUse" or "already exist" in str(error)):
                raise

    def _begun(self) -> str:
        """The job that an earlier session began; empty when there is none in AWS."""
        if not self._record.is_file():
            return ""
        name = str(read_json(self._record, SpecError).get("job", ""))
        if self.account.find(describe_transform_job(name), f"transform job {name}") is None:
            self._remove_model(name)  # killed before it was made
            return ""
        say(f"job:     {name}, begun before", to=self.echo)
        return name

    def _follow(self, name: str, state: State) -> Description:
        """The job's last description."""
        answers = answers_of(self.transform, name)
        watch = TransformWatch(
            account=self.account,
            name=name,
            again=self.again,
            stop=f"kennel cleanup {self.plan.spec.name}",
            max_run_seconds=self.transform.max_run_seconds,
            answers=AnswerCount(self.s3, answers, boundaries_of(self._names(), state.total)),
            progress=Progress(sys.stderr, state.total),
            echo=self.echo,
            interrupts=self.interrupts,
        )
        return watch.until_end()

    def _collect(self, name: str, found: Description, state: State) -> Outcome:
        """Get the answers, and say of the others why there is none."""
        outcome = Outcome(
            state=state,
            job=name,
            status=str(found["TransformJobStatus"]),
            reason=" ".join(str(found.get("FailureReason") or "").split()),
            seconds=seconds_of(found),
        )
        answers = answers_of(self.transform, name)
        is_complete = outcome.status == "Completed"
        if not is_complete and next(self.s3.list(answers), None) is None:
            self._say_log(name)
            self.output.folder.clear()  # the same command begins anew
            return outcome
        lines = () if is_complete else self._log(name)
        bucket = self.transform.input.bucket
        if not self.transform.is_table:
            count = AnswerCount(self.s3, answers, boundaries_of(self._names(), state.total)).count()
            outcome.state = replace(state, done=state.total, refused=max(0, state.total - count))
            for key, reason in list(reasons_in(lines, bucket).items())[:10]:
                complain(f"s3://{bucket}/{key}: {reason.text}")
            self.output.publish(outcome.state)
            return outcome
        given = folder_of(self.transform)
        work = Answers(
            s3=self.s3,
            folder=answers,
            base=base_of(self.s3, answers, given),
            keys=given.key,
            format=state.job.format,
            reasons=reasons_in(lines, bucket),
            are_records=self.transform.split != "None",
            absent=STOPPED if outcome.status == "Stopped" else NO_REASON,
        )
        outcome.state = self._fetch(work, state)
        self.output.publish(outcome.state)
        return outcome

    def _fetch(self, work: Answers, state: State) -> State:
        files = ResultFiles(self.output.folder, state)
        try:
            with counting_signals() as signals:
                is_done = fetch(work, files, signals)
        except HostError as error:
            told = f"{error}; the answers are in {work.folder}: `{self.again}` goes on"
            raise HostError(told) from error
        finally:
            files.close()
        if not is_done:
            raise DetachedError(
                f"stopped after {files.state.done:,} of {files.state.total:,} answers, which are "
                f"in {work.folder}: `{self.again}` goes on"
            )
        return files.state

    def _remove_model(self, name: str) -> None:
        """It was for this job alone."""
        call = Call(service="sagemaker", operation="DeleteModel", parameters={"ModelName": name})
        try:
            self.account.find(call, f"model {name}")
        except AwsError as error:  # it costs nothing: not worth losing the answers
            complain(f"note: {error}; `kennel cleanup {self.plan.spec.name}` removes it")

    def _log(self, name: str) -> list[str]:
        """What SageMaker wrote about single objects."""
        try:
            lines = LogTail(self.account, f"{name}/", group=GROUP).read()
        except AwsError as error:
            complain(f"note: why objects failed is not known: {error}")
            return []
        return [line.text for line in lines]

    def _say_log(self, name: str) -> None:
        lines = last_lines(self.account, GROUP, f"{name}/")
        if lines:
            say(f"log:     {GROUP}, {name}, its last lines:", to=self.echo)
            say("\n".join(f"         {line}" for line in lines), to=self.echo)

    def _names(self) -> Iterator[bytes]:
        return read_plan(self.output.folder.plan)

    @property
    def _record(self) -> Path:
        return self.output.folder.unfinished / RECORD_NAME

"""TransformWatch: a batch transform job in AWS, looked at until it has ended."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws.endpoint.transform_count import AnswerCount
from control.aws.job.interrupts import Interrupts
from control.aws.job.onlooker import Onlooker
from control.aws.waiting import wait_for
from control.aws_client import AwsError
from control.progress import Progress
from control.terminal import duration, say

Description = dict[str, Any]  # what DescribeTransformJob answers
ENDED = frozenset({"Completed", "Failed", "Stopped"})
# Beyond the job's own limit: AWS may take long to find machines before its clock starts.
SLACK_SECONDS = 86_400


def describe_transform_job(name: str) -> Call:
    """For its states and, in the end, its figures."""
    return Call(
        service="sagemaker",
        operation="DescribeTransformJob",
        parameters={"TransformJobName": name},
    )


def stop_transform_job(account: Account, name: str) -> None:
    """Ask AWS to stop it. One that has ended already is no error. Raises AwsError."""
    call = Call(
        service="sagemaker",
        operation="StopTransformJob",
        parameters={"TransformJobName": name},
    )
    try:
        account.send(call, f"transform job {name}")
    except AwsError as error:
        if error.code != "ValidationException" or is_missing(error):
            raise


def seconds_of(found: Description) -> float:
    """How long its machines have worked, or had until it ended; 0 before they began."""
    began, ended = found.get("TransformStartTime"), found.get("TransformEndTime")
    if not isinstance(began, datetime):
        return 0.0
    until = ended if isinstance(ended, datetime) else datetime.now(UTC)
    return max(0.0, (until - began).total_seconds())


@dataclass(slots=True, kw_only=True)
class TransformWatch:
    """Looks at one job, and says what is new. SageMaker has no limit of time, so we keep it.

    Args:
        again: the command that goes on where this one leaves off.
        stop: the command that stops the job.
    """

    account: Account
    name: str
    again: str
    stop: str
    max_run_seconds: int
    answers: AnswerCount
    progress: Progress
    echo: TextIO
    interrupts: Interrupts
    is_over_limit: bool = field(init=False, default=False)
    _state: str = field(init=False, default="")

    def until_end(self) -> Description:
        """Wait for its end and return the last description.

        Raises DetachedError after Ctrl-C, HostError when it takes far longer than its limit,
        AwsError when AWS refuses; in each case the job goes on.
        """
        onlooker = Onlooker(
            what=f"transform job {self.name}",
            again=self.again,
            stopping=self.stop,
            stop=self._stop,
            interrupts=self.interrupts,
            echo=self.echo,
            goes_on="goes on in AWS, and is billed",
        )
        return onlooker.until_end(self._wait)

    def _wait(self) -> Description:
        try:
            return wait_for(
                self._describe,
                lambda found: found["TransformJobStatus"] in ENDED,
                what=f"transform job {self.name}",
                limit_seconds=self.max_run_seconds + SLACK_SECONDS,
                look_again=self.again,
                on_answer=self._hear,
            )
        finally:
            self.progress.clear()

    def _describe(self) -> Description:
        return self.account.send(describe_transform_job(self.name), f"transform job {self.name}")

    def _hear(self, found: Description) -> None:
        with self.interrupts.held():
            state = str(found["TransformJobStatus"])
            if state != self._state:
                self._state = state
                self.progress.clear()
                say(f"aws:     {self.name}: {state}{_after(found)}", to=self.echo)
            if state != "InProgress":
                return
            self.progress.show(self.answers.look())
            if seconds_of(found) > self.max_run_seconds and not self.is_over_limit:
                self.is_over_limit = True
                say(
                    f"stop:    asked for: it has run for its max_run_seconds, "
                    f"{duration(self.max_run_seconds)}",
                    to=self.echo,
                )
                stop_transform_job(self.account, self.name)

    def _stop(self) -> None:
        stop_transform_job(self.account, self.name)
        say("stop:    asked for; answers that are there are kept", to=self.echo)


def _after(found: Description) -> str:
    seconds = seconds_of(found)
    return f" after {duration(seconds)}" if seconds else ""

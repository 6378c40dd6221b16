"""JobWatch: a training job in AWS, looked at until it has ended: its states, its log."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from contract.errors import SpecError
from contract.files import read_json, write_json
from contract.metrics import read_metrics
from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws.job.interrupts import Interrupts
from control.aws.job.log_tail import LogLine, LogTail
from control.aws.job.onlooker import Onlooker
from control.aws.waiting import poll_seconds, wait_for
from control.aws_client import AwsError
from control.terminal import complain, duration, say
from control.transcript import Transcript

Description = dict[str, Any]  # what DescribeTrainingJob answers
ENDED = frozenset({"Completed", "Failed", "Stopped"})
POSITION_NAME = "log-position.json"  # in the run's folder: lines of each stream that it has
LIMIT_SECONDS = 30 * 86_400.0  # AWS ends every job before; its own limits are shorter
LAST_LINES_SECONDS = 5.0


def describe_training_job(name: str) -> Call:
    """For its states and, in the end, its figures."""
    return Call(
        service="sagemaker",
        operation="DescribeTrainingJob",
        parameters={"TrainingJobName": name},
    )


def stop_training_job(name: str) -> Call:
    """It gets SIGTERM and two minutes; what it saves then is kept."""
    return Call(
        service="sagemaker",
        operation="StopTrainingJob",
        parameters={"TrainingJobName": name},
    )


@dataclass(slots=True, kw_only=True)
class JobWatch:
    """Looks at one job, and says what is new.

    Args:
        folder: the run's; the position in the log is kept there.
        log: gets the job's own lines.
    """

    account: Account
    name: str
    folder: Path
    log: Transcript
    echo: TextIO
    interrupts: Interrupts
    onlooker: Onlooker = field(init=False)
    _tail: LogTail = field(init=False)
    _num_hosts: int = field(init=False, default=1)
    _told: int = field(init=False, default=0)  # transitions that were said
    _message: str = field(init=False, default="")  # of the last of them
    _is_deaf: bool = field(init=False, default=False)  # the log cannot be read

    def __post_init__(self) -> None:
        self._tail = LogTail(self.account, f"{self.name}/", seen=_position(self.folder))
        self.onlooker = Onlooker(
            what=f"training job {self.name}",
            again=f"kennel run --attach {self.folder}",
            stopping=f"kennel run --stop {self.folder}",
            stop=self._stop,
            interrupts=self.interrupts,
            echo=self.echo,
            folder=self.folder,
        )

    def until_end(self) -> Description:
        """Wait for its end and return the last description.

        Raises DetachedError after Ctrl-C, HostError when it takes far longer than its limits,
        AwsError when AWS refuses; in each case the job goes on.
        """
        return self.onlooker.until_end(self._wait)

    def wait_for_last_lines(self) -> None:
        """Lines reach the log a little later than they are written, also after the job's end."""
        time.sleep(min(LAST_LINES_SECONDS, poll_seconds()))
        with self.interrupts.held():
            self._hear_log()

    def _wait(self) -> Description:
        return wait_for(
            self._describe,
            lambda found: found["TrainingJobStatus"] in ENDED,
            what=self.onlooker.what,
            limit_seconds=LIMIT_SECONDS,
            look_again=self.onlooker.again,
            on_answer=self._hear,
        )

    def _describe(self) -> Description:
        return self.account.send(describe_training_job(self.name), f"training job {self.name}")

    def _hear(self, found: Description) -> None:
        self._num_hosts = (found.get("ResourceConfig") or {}).get("InstanceCount", 1)
        with self.interrupts.held():
            self._hear_states(found)
            self._hear_log()

    def _hear_states(self, found: Description) -> None:
        """A line for each new state, and for a new sentence about the last one."""
        transitions = found.get("SecondaryStatusTransitions") or []
        for number, one in enumerate(transitions, start=1):
            message = str(one.get("StatusMessage", ""))
            is_last_again = number == self._told and message != self._message
            if number > self._told or is_last_again:
                self._told, self._message = number, message
                say(_state_line(found, one), to=self.echo)

    def _hear_log(self) -> None:
        if self._is_deaf:
            return
        try:
            lines = self._tail.read()
        except AwsError as error:
            if error.is_transient or is_missing(error):
                return
            self._is_deaf = True
            complain(f"note: the job's lines are not shown: {error}")
            return
        for line in lines:
            if line.is_new:
                self.log.line(self._spoken(line), self.echo)
            else:
                self.log.metrics.update(read_metrics(line.text))
        if any(line.is_new for line in lines):
            write_json(self.folder / POSITION_NAME, self._tail.seen)

    def _spoken(self, line: LogLine) -> str:
        """With the host's name, where several talk at the same time."""
        return f"{line.host} | {line.text}" if self._num_hosts > 1 else line.text

    def _stop(self) -> None:
        stop_job(self.account, self.name)
        say("stop:    asked for; it has two minutes to save its network", to=self.echo)


def stop_job(account: Account, name: str) -> bool:
    """Ask AWS to stop it; False when it has ended already. Raises AwsError."""
    try:
        account.send(stop_training_job(name), f"training job {name}")
    except AwsError as error:
        if error.code != "ValidationException" or is_missing(error):
            raise
        return False
    return True


def _position(folder: Path) -> Mapping[str, int]:
    path = folder / POSITION_NAME
    found = read_json(path, SpecError) if path.is_file() else {}
    return {str(stream): int(count) for stream, count in found.items()}


def _state_line(found: Description, transition: Mapping[str, Any]) -> str:
    """`aws:     Training after 3 min 05 s: Training in progress`."""
    message = " ".join(str(transition.get("StatusMessage", "")).split())
    began, now = found.get("CreationTime"), transition.get("StartTime")
    after = ""
    if isinstance(began, datetime) and isinstance(now, datetime):
        after = f" after {duration(max(0.0, (now - began).total_seconds()))}"
    told = f": {message}" if message else ""
    return f"aws:     {transition['Status']}{after}{told}"

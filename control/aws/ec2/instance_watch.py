"""InstanceWatch: a job on an instance of its own, looked at until it has ended."""

import time
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TextIO

from contract.errors import SpecError
from contract.files import read_json, write_json
from control.aws.account import Account, is_missing
from control.aws.ec2.instance_request import (
    request_to_find,
    request_to_read,
    request_to_stop,
    request_to_terminate,
)
from control.aws.ec2.instance_status import (
    LOG_NAME,
    STATUS_NAME,
    InstanceState,
    InstanceStatus,
    Look,
    state_of,
)
from control.aws.ec2.s3_log import S3Log
from control.aws.job.interrupts import Interrupts
from control.aws.job.onlooker import Onlooker
from control.aws.waiting import wait_for
from control.aws_client import AwsError, aws_errors
from control.s3 import S3Uri
from control.terminal import duration, say
from control.transcript import Transcript

POSITION_NAME = "log-position.json"  # in the run's folder: bytes of the log that it has
APPEARS_SECONDS = 300.0  # until EC2 must know an instance that it has started
SLACK_SECONDS = 1800.0  # beyond the instance's own limit: it has to be found and started


@dataclass(slots=True, kw_only=True)
class InstanceWatch:
    """Looks at one job, and says what is new.

    Args:
        job: its name in AWS.
        where: s3://OUTPUT/JOB.
        limit_seconds: after that the instance has ended itself.
        folder: the run's; the position in the log is kept there.
        log: gets the job's own lines.
    """

    account: Account
    job: str
    where: S3Uri
    limit_seconds: float
    folder: Path
    log: Transcript
    echo: TextIO
    interrupts: Interrupts
    was_stopped: InitVar[bool]  # by somebody, in an earlier session
    age_seconds: InitVar[float]  # since it was asked for, perhaps in an earlier session
    onlooker: Onlooker = field(init=False)
    _lines: S3Log = field(init=False)
    _at: str = field(init=False, default="")
    _seen: InstanceState | None = field(init=False, default=None)
    _began: float = field(init=False, default=0.0)
    _fresh: list[str] = field(init=False, default_factory=list)  # lines that were not said yet

    def __post_init__(self, was_stopped: bool, age_seconds: float) -> None:
        position = _position(self.folder)
        self._lines = S3Log(self.account, self.where.join(LOG_NAME), position)
        self._began = time.monotonic() - age_seconds
        self.onlooker = Onlooker(
            what=f"the instance of job {self.job}",
            again=f"kennel run --attach {self.folder}",
            stopping=f"kennel run --stop {self.folder}",
            stop=self.stop,
            interrupts=self.interrupts,
            echo=self.echo,
            goes_on="goes on, and ends itself",
            folder=self.folder,
            was_stopped=was_stopped,
        )

    def until_end(self) -> Look:
        """Wait for its end and return the last look.

        Raises DetachedError after Ctrl-C, HostError when it takes far longer than its limit,
        AwsError when AWS refuses; in each case the instance goes on, until it ends itself.
        """
        return self.onlooker.until_end(self._wait)

    def _wait(self) -> Look:
        return wait_for(
            self.look,
            lambda look: look.has_ended,
            what=self.onlooker.what,
            limit_seconds=self.limit_seconds + SLACK_SECONDS,
            look_again=self.onlooker.again,
            on_answer=self._hear,
        )

    def look(self) -> Look:
        """EC2 first: what an instance says last is said before it is gone. Raises AwsError."""
        found = state_of(self.account.send(request_to_find(self.job), f"job {self.job}"))
        if found is None and (self._seen or self._age > APPEARS_SECONDS):
            last = self._seen or InstanceState(name="gone")
            found = InstanceState(id=last.id, name="gone", reason=last.reason)
        self._seen = found or self._seen
        state = found or InstanceState(name="pending")
        look = Look(state=state, status=self._status())
        with self.interrupts.held():  # what was read is kept
            self._fresh += self._lines.read(is_last=look.has_ended)
        return look

    def stop(self) -> bool:
        """End the training, which saves what it has; before it has begun, end the instance.

        Returns False when all has ended already. Raises AwsError.
        """
        look = self.look()
        self.onlooker.was_stopped = True
        if look.status.at in ("Training", "Uploading"):
            self.account.send(request_to_stop(self.where), f"job {self.job} cannot be stopped")
            say("stop:    asked for; it has two minutes to save its network", to=self.echo)
            return True
        if look.state.id and not look.state.is_gone:
            self.account.send(request_to_terminate(look.state.id), f"instance {look.state.id}")
            say(f"stop:    instance {look.state.id} ends; it had not begun to train", to=self.echo)
            return True
        return False

    @property
    def _age(self) -> float:
        return time.monotonic() - self._began

    def _status(self) -> InstanceStatus:
        doing = f"{self.where.join(STATUS_NAME)} cannot be read"
        try:
            answer = self.account.send(request_to_read(self.where, STATUS_NAME), doing)
            with aws_errors(doing), answer["Body"] as body:
                return InstanceStatus.from_bytes(bytes(body.read()))
        except AwsError as error:
            if is_missing(error):
                return InstanceStatus()
            raise

    def _hear(self, look: Look) -> None:
        with self.interrupts.held():
            if look.status.at != self._at:
                self._at = look.status.at
                told = f" after {duration(look.status.seconds)}" if look.status.seconds else ""
                where = f", instance {look.state.id} is {look.state.name}" if look.state.id else ""
                say(f"ec2:     {self._at}{told}{where}", to=self.echo)
            for line in self._fresh:
                self.log.line(line, self.echo)
            if self._fresh:
                self._fresh.clear()
                write_json(self.folder / POSITION_NAME, {LOG_NAME: self._lines.position})


def _position(folder: Path) -> int:
    path = folder / POSITION_NAME
    return int(read_json(path, SpecError).get(LOG_NAME, 0)) if path.is_file() else 0

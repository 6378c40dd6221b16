"""LogTail: the lines of a job's streams in CloudWatch Logs, each once, in their order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws_client import AwsError

# Source: SageMaker developer guide, Amazon CloudWatch Logs for SageMaker.
TRAINING_GROUP = "/aws/sagemaker/TrainingJobs"
MOST_PAGES = 1000  # of one stream in one look, a megabyte each: the rest comes with the next look


def describe_streams(prefix: str, group: str = TRAINING_GROUP) -> Call:
    """For the names of the streams that begin with it."""
    return Call(
        service="logs",
        operation="DescribeLogStreams",
        parameters={"logGroupName": group, "logStreamNamePrefix": prefix},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One event of one stream."""

    host: str  # algo-1
    text: str
    at_ms: int  # since 1970
    is_new: bool = True  # False: an earlier session had it already


class LogTail:
    """Reads what has been added since the last look.

    A stream belongs to one host, or to one attempt of it after an interruption; all that begin
    with `prefix` are read, also those that appear later.

    Args:
        prefix: `JOB/`, with the slash: `dogs-1` must not read the lines of `dogs-10`.
        seen: stream -> number of its lines that an earlier session had, as `seen` said then.
    """

    def __init__(
        self,
        account: Account,
        prefix: str,
        *,
        group: str = TRAINING_GROUP,
        seen: Mapping[str, int] | None = None,
    ) -> None:
        self._account, self._group, self._prefix = account, group, prefix
        self._before = dict(seen or {})
        self._counts: dict[str, int] = {}
        self._tokens: dict[str, str] = {}

    @property
    def seen(self) -> dict[str, int]:
        """Stream -> how many of its lines were read, in this session and earlier ones."""
        names = self._before.keys() | self._counts.keys()
        return {name: max(self._before.get(name, 0), self._counts.get(name, 0)) for name in names}

    def read(self) -> list[LogLine]:
        """The new lines of all streams, by time; those of one stream in their own order.

        A group or stream that is not there yet has none. Raises AwsError, and then nothing that
        was read is lost: the next look begins where the last whole page of each stream ended.
        """
        lines: list[LogLine] = []
        try:
            for stream in self._streams():
                lines += self._read(stream)
        except AwsError as error:
            if not lines and not is_missing(error):
                raise
        return sorted(lines, key=lambda line: line.at_ms)  # stable

    def _streams(self) -> list[str]:
        call = describe_streams(self._prefix, self._group)
        found = self._account.pages(call, "logStreams", f"the log of {self._prefix}")
        return [str(one["logStreamName"]) for one in found]

    def _read(self, stream: str) -> Iterable[LogLine]:
        """Pages until one leads to itself: an empty page is not always the last."""
        lines: list[LogLine] = []
        for _ in range(MOST_PAGES):
            token = self._tokens.get(stream)
            try:
                page = self._page(stream, token)
            except AwsError:
                if lines:  # they are shown now, and the error comes with the next look
                    return lines
                raise
            for event in page.get("events", ()):
                lines.append(self._line(stream, event))
            self._tokens[stream] = page["nextForwardToken"]
            if page["nextForwardToken"] == token:
                break
        return lines

    def _page(self, stream: str, token: str | None) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "logGroupName": self._group,
            "logStreamName": stream,
            "startFromHead": True,
        }
        if token:
            parameters["nextToken"] = token
        call = Call(service="logs", operation="GetLogEvents", parameters=parameters)
        return self._account.send(call, f"the log stream {stream}")

    def _line(self, stream: str, event: Mapping[str, Any]) -> LogLine:
        number = self._counts.get(stream, 0)
        self._counts[stream] = number + 1
        return LogLine(
            host=host_of(stream),
            text=str(event["message"]).rstrip("\r\n"),
            at_ms=int(event["timestamp"]),
            is_new=number >= self._before.get(stream, 0),
        )


def host_of(stream: str) -> str:
    """`dogs-1/algo-2-1700000000` -> `algo-2`."""
    return "-".join(stream.rpartition("/")[2].split("-")[:2])

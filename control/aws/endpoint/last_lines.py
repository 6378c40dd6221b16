"""LastLines: the end of what containers wrote to CloudWatch Logs, for a failure's explanation."""

from typing import Any

from control.aws.account import Account
from control.aws.call import Call
from control.aws_client import AwsError

ENDPOINTS = "/aws/sagemaker/Endpoints"  # a group for each endpoint, a stream for each machine
COUNT = 20


def endpoint_group(name: str) -> str:
    """The log group of one endpoint."""
    return f"{ENDPOINTS}/{name}"


def last_lines(account: Account, group: str, prefix: str = "", count: int = COUNT) -> list[str]:
    """The last lines of the stream that was written to last; none when there is no log.

    Args:
        prefix: of the stream's name, where a group belongs to many jobs.

    Never raises AwsError: an explanation without a log is better than another error.
    """
    streams: dict[str, Any] = {"logGroupName": group}
    if prefix:
        streams["logStreamNamePrefix"] = prefix
    else:
        streams |= {"orderBy": "LastEventTime", "descending": True, "limit": 5}
    try:
        found = account.send(_call("DescribeLogStreams", streams))["logStreams"]
        if not found:
            return []
        newest = max(found, key=lambda one: int(one.get("lastEventTimestamp", 0)))
        events = account.send(
            _call(
                "GetLogEvents",
                {
                    "logGroupName": group,
                    "logStreamName": newest["logStreamName"],
                    "limit": count,
                    "startFromHead": False,
                },
            )
        )["events"]
    except AwsError:
        return []
    return [str(event["message"]).rstrip() for event in events]


def _call(operation: str, parameters: dict[str, Any]) -> Call:
    return Call(service="logs", operation=operation, parameters=parameters)

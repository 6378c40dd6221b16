"""Looking: what is there before a function is made, changed or deleted."""

from collections.abc import Mapping
from typing import Any, TextIO

from contract.errors import UsageError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.payload import MOST_BYTES, kind_of
from control.aws.lambdas.requests import on_function
from control.aws.missing_endpoint import no_endpoint
from control.aws.tags import NAME, tags_of
from control.aws_client import AwsError
from control.terminal import say

DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
# Of an endpoint. Source: SageMaker API reference, DescribeEndpoint.
ANSWERING = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack"})


def find_ours(account: Account, name: str) -> Mapping[str, Any] | None:
    """What GetFunction answers, None for no function. Raises UsageError: it is not of kennel."""
    found = account.find(on_function(name, "GetFunction"), f"function {name}")
    if found is not None and NAME not in tags_of(found.get("Tags")):
        raise UsageError(
            f"a function {name} is there that kennel did not make (it has no tag {NAME}): "
            "give another name"
        )
    return found


def check_endpoint(account: Account, name: str, max_bytes: int, echo: TextIO) -> None:
    """Say what does not fit.

    Raises UsageError: there is no endpoint of this name, or none that a function can ask. AwsError.
    """
    call = Call(
        service="sagemaker", operation="DescribeEndpoint", parameters={"EndpointName": name}
    )
    try:
        found = account.find(call, f"endpoint {name}")
    except AwsError as error:
        if error.code not in DENIED:
            raise
        say(f"note:    whether endpoint {name} is there may not be looked at", to=echo)
        return
    if found is None:
        raise no_endpoint(account, name)
    if found["EndpointStatus"] not in ANSWERING:
        say(f"note:    endpoint {name} does not answer now: {found['EndpointStatus']}", to=echo)
    kind = kind_of(found)
    if kind == "asynchronous":
        raise UsageError(
            f"endpoint {name} is asynchronous and answers into S3: a function before it has "
            "nothing to pass on; name a real-time or a serverless one"
        )
    if max_bytes > MOST_BYTES[kind]:
        most = MOST_BYTES[kind]
        say(
            f"note:    endpoint {name} is {kind} and takes {most:,} bytes: with --max-bytes {most} "
            "a larger picture is refused in clear words",
            to=echo,
        )

"""Looking: what is there before a function is made, changed or deleted."""

from collections.abc import Mapping
from typing import Any, TextIO

from contract.errors import UsageError
from control.aws.account import Account
from control.aws.call import Call
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


def check_endpoint(account: Account, name: str, echo: TextIO) -> None:
    """Raises UsageError: there is no endpoint of this name for a function to ask. AwsError."""
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

"""Missing endpoint: the one line about an endpoint that is not there, for every command."""

from itertools import islice

from contract.errors import UsageError
from contract.strict import nearest
from control.aws.account import Account
from control.aws.call import Call
from control.aws_client import AwsError

MOST_LOOKED_AT = 1000  # of the newest
MOST_NAMED = 5


def no_endpoint(account: Account, name: str) -> UsageError:
    """The error to raise; it names what is there, unless the caller may not list it."""
    said = f"there is no endpoint {name} in {account.region}"
    try:
        known = _endpoints(account)
    except AwsError:
        return UsageError(f"{said}: `kennel list --cost` shows those that exist")
    if near := nearest(name, known):
        return UsageError(f"{said}; did you mean {near!r}? `kennel list --cost` shows all")
    if not known:
        return UsageError(f"{said}, and no other: `kennel deploy` makes one")
    more = ", ..." if len(known) > MOST_NAMED else ""
    return UsageError(
        f"{said}; there are {', '.join(known[:MOST_NAMED])}{more}: `kennel list --cost` shows them"
    )


def _endpoints(account: Account) -> list[str]:
    newest = {"SortBy": "CreationTime", "SortOrder": "Descending"}
    call = Call(service="sagemaker", operation="ListEndpoints", parameters=newest)
    found = account.pages(call, "Endpoints", "the list of endpoints")
    return [str(one["EndpointName"]) for one in islice(found, MOST_LOOKED_AT)]

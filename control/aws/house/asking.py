"""Asking AWS about many things at once: a listing, then one question for each item."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from control.aws.account import Account
from control.aws.call import Call
from control.aws.tags import tags_of

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 4  # of one listing: AWS throttles early, and several listings go on at once


def each(ask: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`ask` of every item, several at a time, in order. Raises what `ask` raises."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(ask, list(items))


def found_by_each(ask: Callable[[T], R | None], items: Iterable[T]) -> list[R]:
    """As `each`, without the Nones: what was gone when it was asked about, or is not ours."""
    return [one for one in each(ask, items) if one is not None]


def sagemaker(operation: str, **parameters: Any) -> Call:
    """A call of SageMaker's."""
    return Call(service="sagemaker", operation=operation, parameters=parameters)


def sagemaker_tags(account: Account, arn: str) -> Mapping[str, str]:
    """The tags of an endpoint, a model, a job. Raises AwsError."""
    return tags_of(list(account.pages(sagemaker("ListTags", ResourceArn=arn), "Tags")))

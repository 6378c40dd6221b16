"""Marks: the tags of an endpoint, by which it is known as ours, and what they remember of it."""

from collections.abc import Mapping

from contract.errors import UsageError
from control.aws.endpoint.following import Described
from control.aws.endpoint.request import sagemaker_call
from control.aws.endpoint.work import Work
from control.aws.tags import NAME, tags_of

OURS = NAME.partition(":")[0] + ":"  # keys that begin so are not the file's to give


def own_tags(work: Work, current: Described) -> dict[str, str]:
    """The endpoint's tags. Raises UsageError: somebody else made it."""
    call = sagemaker_call("ListTags", ResourceArn=current["EndpointArn"])
    name = work.spec.name
    tags = tags_of(list(work.account.pages(call, "Tags", f"the tags of {name}")))
    if NAME not in tags:
        raise UsageError(
            f"an endpoint {name} exists, and kennel did not make it: give another name with --name"
        )
    return tags


def tag(work: Work, current: Described, tags: Mapping[str, str]) -> None:
    """Put tags on the endpoint; those of the same key change."""
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    call = sagemaker_call("AddTags", ResourceArn=current["EndpointArn"], Tags=listed)
    work.account.send(call, f"the tags of {work.spec.name}")


def tag_as_file_says(work: Work, current: Described, tags: Mapping[str, str]) -> bool:
    """Put [aws.tags] on it where `tags`, its own, differ; whether they did.

    One that the file has no longer stays: nobody knows whether it was the file's.
    """
    wanted = {key: value for key, value in work.spec.place.tags.items() if not key.startswith(OURS)}
    other = {key: value for key, value in wanted.items() if tags.get(key) != value}
    if other:
        tag(work, current, other)
    return bool(other)

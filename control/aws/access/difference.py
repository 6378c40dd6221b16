"""Difference: what one policy allows and another does not, in lines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control.aws.access.grant import Statement
from control.aws.access.merging import covers, is_plain, statements_of, texts


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """`- STATEMENT` for what is allowed no more and `+ STATEMENT` for what is new.

    Each has the actions and the resources alone that come or go; none when both allow the same.
    """
    old, new = statements_of(before), statements_of(after)
    return [
        f"{sign} {json.dumps(one, sort_keys=True)}"
        for sign, some, others in (("-", old, new), ("+", new, old))
        for one in _beyond(some, others)
    ]


def _beyond(some: Sequence[Statement], others: Sequence[Statement]) -> Iterator[Statement]:
    """What of `some` no statement of `others` allows."""
    for one in some:
        if any(covers(other, one) for other in others):
            continue
        if not is_plain(one):
            yield one
            continue
        resources: dict[tuple[str, ...], list[str]] = {}
        for resource in texts(one["Resource"]):
            lacking = tuple(
                action
                for action in texts(one["Action"])
                if not any(
                    covers(other, {**one, "Action": action, "Resource": resource})
                    for other in others
                )
            )
            if lacking:
                resources.setdefault(lacking, []).append(resource)
        for actions, found in resources.items():
            yield {**one, "Action": list(actions), "Resource": found}

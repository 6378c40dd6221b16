"""Difference: what one policy has and another has not, a line each."""

import json
from collections.abc import Mapping
from typing import Any


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """`- STATEMENT` and `+ STATEMENT`, in the order of the policies; none when they are equal."""
    old, new = _lines(before), _lines(after)
    gone = [f"- {line}" for line in old if line not in new]
    return gone + [f"+ {line}" for line in new if line not in old]


def _lines(policy: Mapping[str, Any]) -> list[str]:
    stated = policy.get("Statement", [])
    return [
        json.dumps(one, sort_keys=True)
        for one in (stated if isinstance(stated, list) else [stated])
    ]

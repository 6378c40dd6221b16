"""Merging: what a policy of ours has already stays when more is added; only what is asked goes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from control.aws.access.grant import Policy, Statement, matches

_PLAIN = frozenset({"Sid", "Effect", "Action", "Resource", "Condition"})


def merged(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Policy:
    """A policy that allows all that both allow. `before` itself where it allows that already.

    Statements of the same actions and condition become one; what a pattern covers goes into it.
    """
    found = statements_of(before)
    if all(any(covers(one, each) for one in found) for each in wanted["Statement"]):
        return dict(before)
    for each in wanted["Statement"]:
        if any(covers(one, each) for one in found):
            continue
        found = [one for one in found if not covers(each, one)]
        at = next((at for at, one in enumerate(found) if _same(one, each)), None)
        if at is None:
            found.append(each)
        else:
            found[at] = _joined(found[at], each)
    return {**wanted, "Statement": _with_names_of_their_own(found)}


def covers(one: Statement, other: Statement) -> bool:
    """Whether `one` allows all that `other` allows; False where that cannot be told."""
    if not (is_plain(one) and is_plain(other)):
        return one == other
    return (
        _all_among(texts(other["Action"]), texts(one["Action"]))
        and _all_among(texts(other["Resource"]), texts(one["Resource"]))
        and _is_weaker(one.get("Condition", {}), other.get("Condition", {}))
    )


def is_plain(statement: Statement) -> bool:
    """Whether it allows actions on resources, as all of ours do."""
    return (
        statement.get("Effect") == "Allow"
        and statement.keys() <= _PLAIN
        and {"Action", "Resource"} <= statement.keys()
    )


def statements_of(policy: Mapping[str, Any]) -> list[Statement]:
    """IAM takes a single one without a list around it."""
    stated = policy.get("Statement", [])
    return list(stated) if isinstance(stated, list) else [stated]


def texts(value: str | Sequence[str]) -> list[str]:
    """The same of a text or of a list of them."""
    return [value] if isinstance(value, str) else list(value)


def _all_among(names: Sequence[str], patterns: Sequence[str]) -> bool:
    # A pattern with ? could be taken for covering one with *.
    return all(
        any(
            pattern == name or ("?" not in pattern and matches(pattern, name))
            for pattern in patterns
        )
        for name in names
    )


def _is_weaker(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether what holds for `other` holds for `one`: of each key the same values, or more."""
    return all(
        key in other.get(test, {})
        and set(texts(other[test][key])) <= set(texts(values))
        and ((test.startswith("String") and "Not" not in test) or other[test][key] == values)
        for test, keys in one.items()
        for key, values in keys.items()
    )


def _same(one: Statement, other: Statement) -> bool:
    return (
        is_plain(one)
        and sorted(texts(one["Action"])) == sorted(texts(other["Action"]))
        and one.get("Condition", {}) == other.get("Condition", {})
    )


def _joined(one: Statement, other: Statement) -> Statement:
    both = list(dict.fromkeys((*texts(one["Resource"]), *texts(other["Resource"]))))
    kept = [
        name
        for name in both
        if not any(pattern != name and _all_among([name], [pattern]) for pattern in both)
    ]
    return {**one, "Resource": kept}


def _with_names_of_their_own(found: Sequence[Statement]) -> list[Statement]:
    """IAM wants each Sid once in a policy."""
    named: list[Statement] = []
    taken: set[str] = set()
    for one in found:
        sid, number = one.get("Sid", ""), 2
        name = sid
        while sid and name in taken:
            name, number = f"{sid}{number}", number + 1
        taken.add(name)
        named.append({**one, "Sid": name} if sid else one)
    return named


def text_size(policy: Mapping[str, Any]) -> int:
    """Characters as IAM counts them: without spaces between."""
    return len(json.dumps(policy, separators=(",", ":")))

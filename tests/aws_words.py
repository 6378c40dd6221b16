"""What AWS's model says of words and sizes, and botocore's own validator passes over.

ParamValidator checks names, types, what is required and the least of a size; AWS also refuses
what does not match `pattern`, is none of `enum`, or exceeds `max`.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any

from aws_operations import MODELS

# Java's classes of characters, as they stand inside brackets in Python.
CLASSES = {
    r"\p{L}": r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02c1\u0370-\u1fff\u3040-\ud7ff",  # most
    r"\p{N}": "0-9",
    r"\p{Z}": r" \u00a0\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{Print}": " -~",
    r"\p{ASCII}": r"\x00-\x7f",
    r"\p{Alnum}": "a-zA-Z0-9",
}
ASTRAL = (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010ffff")
SIZED = ("string", "list", "map", "blob")
NUMBERS = ("integer", "long", "float", "double")


def complaints_of(service: str, operation: str, parameters: dict[str, Any]) -> list[str]:
    """What AWS would refuse of a call. `service` by the name that it is signed with."""
    shape = model_of(MODELS.get(service, service)).operation_model(operation).input_shape
    return list(complaints(parameters, shape, operation)) if shape else []


@functools.cache
def model_of(service: str) -> Any:
    """botocore's model of a service."""
    import botocore.session

    return botocore.session.get_session().get_service_model(service)


def complaints(value: Any, shape: Any, where: str = "") -> Iterator[str]:
    """One line for everything in `value` that AWS would refuse."""
    kind, limits = shape.type_name, shape.metadata
    if kind in SIZED and not (kind == "blob" and isinstance(value, str)):
        yield from _beyond(len(value), limits, where, "long")
    if kind in NUMBERS:
        yield from _beyond(value, limits, where, "large")
    if kind == "string":
        pattern = limits.get("pattern")
        if pattern and not _compiled(pattern).fullmatch(value):
            yield f"{where}: {value!r} does not match {pattern}"
        if shape.enum and value not in shape.enum:
            yield f"{where}: {value!r} is none of {', '.join(shape.enum)}"
    elif kind == "structure":
        for name, one in value.items():
            yield from complaints(one, shape.members[name], f"{where}.{name}")
    elif kind == "list":
        for at, one in enumerate(value):
            yield from complaints(one, shape.member, f"{where}[{at}]")
    elif kind == "map":
        for name, one in value.items():
            yield from complaints(name, shape.key, f"{where} (key)")
            yield from complaints(one, shape.value, f"{where}.{name}")


def _beyond(size: float, limits: Any, where: str, word: str) -> Iterator[str]:
    if size > limits.get("max", size) or size < limits.get("min", size):
        yield f"{where}: {size} {word}, from {limits.get('min')} to {limits.get('max')}"


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """AWS's pattern, which Java reads, for Python; the whole text must match it."""
    text = pattern.replace(*ASTRAL).replace(r"\z", r"\Z").replace(r"\w-", r"\w\-")
    for theirs, ours in CLASSES.items():
        if text.startswith(theirs):  # alone, without brackets: \p{ASCII}*
            text = f"[{ours}]{text.removeprefix(theirs)}"
        text = text.replace(theirs, ours)
    return re.compile(text, re.ASCII)

"""JSON in: the usual shapes of a request become encoded pictures. Shapes: docs/api.md."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contract.errors import RequestError

LIST_KEYS = ("instances", "images", "inputs")
PICTURE_KEYS = ("image", "b64", "data", "bytes", "image_bytes")
MAX_VALUES = 100_000  # a request holds pictures as strings, not pixels as numbers

# A string (also one that never ends), or one structural character. The possessive `*+` and the
# alternative \Z make the scan linear for any input.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_SHAPES = (
    '{"image": BASE64}, {"instances": [BASE64 or {"b64": BASE64} ...]}, [BASE64 ...], '
    'or {"url": ...} where the operator allows it'
)


@dataclass(frozen=True, slots=True)
class Url:
    """A picture to be fetched."""

    text: str


def read_json_pictures(body: bytes, max_depth: int) -> Iterator[bytes | Url]:
    """The pictures of a JSON body, in order.

    Raises RequestError: 400 for malformed JSON or base64, 413 for one too deep or too long,
    422 for a shape that we do not know.
    """
    _check_size(body, max_depth)
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {str(error)[:200]}") from None
    pictures = _pictures(value)
    if not pictures:
        raise RequestError(422, f"the JSON body holds no picture; expected {_SHAPES}")
    for index, item in enumerate(pictures):
        where = f"picture {index + 1} of {len(pictures)}: " if len(pictures) > 1 else ""
        yield _picture(item, where)


def _check_size(body: bytes, max_depth: int) -> None:
    """Refuse what would cost far more to parse than to send. Nothing is parsed for it."""
    depth = 0
    for count, match in enumerate(_TOKEN.finditer(body)):
        if count > MAX_VALUES:
            raise RequestError(413, f"the JSON body has over {MAX_VALUES:,} values: the limit")
        token = match.group()[:1]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        if depth > max_depth:
            raise RequestError(413, f"the JSON body is nested deeper than {max_depth}: the limit")


def _pictures(value: Any) -> list[Any]:
    """The list of pictures, each still as it was sent."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if key in LIST_KEYS:
            return inner if isinstance(inner, list) else [inner]
    return value if isinstance(value, list) else [value]


def _picture(value: Any, where: str) -> bytes | Url:
    for _ in range(2):  # {"image": {"b64": ...}} is the deepest shape that we know
        if isinstance(value, dict):
            key, value = _only_item(value, where)
            if key == "url":
                if not isinstance(value, str):
                    raise RequestError(422, f"{where}expected `url` to be a string")
                return Url(value)
    if not isinstance(value, str):
        raise RequestError(
            422, f"{where}expected base64 text, got {_json_name(value)}; known shapes: {_SHAPES}"
        )
    return _decode(value, where)


def _only_item(value: dict[str, Any], where: str) -> tuple[str, Any]:
    known = (*PICTURE_KEYS, "url")
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key in known:
            return key, inner
    names = ", ".join(repr(name[:40]) for name in list(value)[:5]) or "none"
    raise RequestError(422, f"{where}expected exactly one of the keys {known}, got {names}")


def _decode(text: str, where: str) -> bytes:
    """Base64, also url-safe, wrapped in lines, without padding, or as a data: URL."""
    if text.startswith(("http://", "https://")):
        raise RequestError(422, f'{where}this is an address; send it as {{"url": ...}}')
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise RequestError(400, f"{where}expected a data: URL in base64, got {head[:60]!r}")
    plain = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    if not plain:
        raise RequestError(400, f"{where}the base64 text is empty")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"{where}not base64: {error}") from None


def _json_name(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")

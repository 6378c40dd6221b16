"""JSON lines in: one record a line, one picture a record, as batch transform splits a file.

A record is what an application/json body may be for one picture. Every line of the request gives
one line of an application/jsonlines answer, so that records and answers can be joined by position.
For the same reason nothing is skipped: one bad record refuses the request and is named by its
number, which in a JSON-lines body is its line. A batch transform job then writes no output for the
object that the record is in, whatever the strategy, and goes on with the others.
"""

from collections.abc import Iterator

from contract.errors import RequestError
from serve.json_body import Url, read_json_pictures

JSON_LINES = frozenset({"application/jsonlines", "application/x-jsonlines", "application/x-ndjson"})
_BLANK = b" \t\r\n"


def read_json_lines(body: bytes, max_depth: int, max_lines: int) -> Iterator[bytes | Url]:
    """The pictures of a body, in order. Line breaks at its end do not count as records.

    Raises RequestError: 400 for a blank line, malformed JSON or base64, 413 for too many lines or
    one too deep or too long, 422 for another shape, or for several pictures in one line.
    """
    body = body.rstrip(_BLANK)
    num_lines = body.count(b"\n") + 1
    if num_lines > max_lines:
        # Before any of it is parsed: short lines cost far more to read than to send.
        raise RequestError(
            413,
            f"the request has {num_lines:,} records; the limit is {max_lines} a request "
            "(KENNEL_MAX_PICTURES)",
        )
    if not body:
        raise RequestError(400, "the body has no record; expected one JSON value a line")
    start = 0
    for number in range(1, num_lines + 1):
        end = body.find(b"\n", start)
        line = body[start:] if end < 0 else body[start:end]
        start = end + 1
        yield _picture(line, max_depth, f"record {number} of {num_lines}: " * (num_lines > 1))


def _picture(line: bytes, max_depth: int, where: str) -> bytes | Url:
    if not line.strip(_BLANK):
        raise RequestError(400, f"{where}the line is blank; every line must hold a picture")
    try:
        pictures = list(read_json_pictures(line, max_depth))
    except RequestError as error:
        raise RequestError(error.status, where + error.message) from None
    if len(pictures) > 1:
        raise RequestError(
            422,
            f"{where}{len(pictures)} pictures in one line; send one a line, as each line gets one "
            "line of answer",
        )
    return pictures[0]

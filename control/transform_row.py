"""Transform rows: one answered or refused picture as a line of a result file."""

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from contract.errors import KennelError

FORMATS = ("csv", "jsonl")
REFUSED_HEADER = ("picture", "status", "reason")
CSV_HEADER = ("picture", "label", "probability", "top")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One picture's line, ready to be written."""

    data: bytes
    is_refused: bool = False


def header(form: str) -> bytes:
    """How a file of predictions begins."""
    return _csv_line(CSV_HEADER) if form == "csv" else b""


def refused_header() -> bytes:
    """How refused.csv begins."""
    return _csv_line(REFUSED_HEADER)


def answered(name: bytes, line: bytes, form: str) -> Row:
    """A picture and its answer, one line of application/jsonlines.

    In CSV the labels of `top` are a JSON object, most likely first. Raises KennelError for an
    answer that is not Kennel's.
    """
    if form == "jsonl":
        # The answer is not parsed: it becomes part of the line as it is.
        if not line.startswith(b'{"label": ') or line.find(b"\n") != len(line) - 1:
            raise _stranger(line)
        return Row(data=b'{"picture": ' + _json(text_of(name)) + b", " + line[1:])
    try:
        value = json.loads(line)
        top = {item["label"]: item["probability"] for item in value["top"]}
        fields = (text_of(name), value["label"], value["probability"], json.dumps(top))
    except (ValueError, KeyError, TypeError):
        raise _stranger(line) from None
    return Row(data=_csv_line(fields))


def refused(name: bytes, status: int | str, reason: str) -> Row:
    """A picture without an answer; status is HTTP's, or empty when it was never sent."""
    return Row(data=_csv_line((text_of(name), status, " ".join(reason.split()))), is_refused=True)


def text_of(name: bytes) -> str:
    r"""A name as text; bytes that are no UTF-8 are written as Python writes them, e.g. \udcff."""
    return os.fsdecode(name)


def _json(text: str) -> bytes:
    try:
        return json.dumps(text, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(text).encode()


def _csv_line(fields: Sequence[object]) -> bytes:
    """One record. Text is quoted always: a lone carriage return would end an unquoted field."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerow(fields)
    return line.getvalue().encode("utf-8", "backslashreplace")


def _stranger(line: bytes) -> KennelError:
    start = line[:80].decode("utf-8", "replace")
    return KennelError(f"the server does not answer as Kennel's does: {start!r}")

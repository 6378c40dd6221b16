"""RecordIO in: MXNet's framing of binary records, as batch transform splits by SplitType RecordIO.

With BatchStrategy MultiRecord the platform sends whole frames, several in a row; with SingleRecord
it sends what was inside one frame. Both are read here; the first four bytes tell them apart. A
record is an encoded picture, or one behind the header that MXNet's im2rec writes (its label is not
used). As in JSON lines, a bad record refuses the request and is named by its number.

Source: the frame is MXNet's (dmlc-core recordio.h): magic, length, data, zeros up to a multiple of
four. TFRecord is not read: its records are tf.train.Example messages, and nobody fixed the names of
the features in them.
"""

import struct
from collections.abc import Iterator

from contract.errors import RequestError

RECORDIO = "application/x-recordio"
MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_FRAME = struct.Struct("<II")  # magic; part in the upper 3 bits, length in the lower 29
_LENGTH_BITS = 29
# A record that holds the magic itself is written in parts, cut where the magic was.
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_HEADER = struct.Struct("<IfQQ")  # of im2rec: number of labels, label, two ids
# A picture's first bytes, read as a number, are far above this in every format that we decode.
_MOST_LABELS = 1024


def read_records(body: bytes, max_records: int) -> Iterator[bytes]:
    """The encoded pictures of a body, in order.

    Raises RequestError: 400 for a frame that is cut short or out of place, 413 for too many.
    """
    if not body.startswith(_MAGIC_BYTES):
        yield _picture(body)  # the platform has unwrapped it
        return
    number, start = 0, 0
    parts: list[bytes] = []
    while start < len(body):
        part, data, start = _frame(body, start, number + 1)
        if (part in (_MIDDLE, _LAST)) != bool(parts):
            raise _malformed(number + 1, "its parts are out of order")
        parts.append(data)
        if part in (_WHOLE, _LAST):
            number += 1
            if number > max_records:
                raise RequestError(
                    413,
                    f"the request has over {max_records} records: the limit (KENNEL_MAX_PICTURES)",
                )
            yield _picture(_MAGIC_BYTES.join(parts))
            parts = []
    if parts:
        raise _malformed(number + 1, "its last part is missing")


def _frame(body: bytes, start: int, number: int) -> tuple[int, bytes, int]:
    """(part, data, where the next frame begins)."""
    if len(body) - start < _FRAME.size:
        raise _malformed(number, f"{len(body) - start} bytes are left, too few for a frame")
    magic, packed = _FRAME.unpack_from(body, start)
    if magic != MAGIC:
        raise _malformed(number, f"expected the magic number {MAGIC:#x}, got {magic:#x}")
    part, length = packed >> _LENGTH_BITS, packed & ((1 << _LENGTH_BITS) - 1)
    begin, end = start + _FRAME.size, start + _FRAME.size + length
    if part > _LAST:
        raise _malformed(number, f"part {part} is not one of 0 to 3")
    if end > len(body):
        raise _malformed(number, f"its length is {length:,}, but {len(body) - begin:,} bytes came")
    return part, body[begin:end], end + -length % 4


def _picture(record: bytes) -> bytes:
    """The record without im2rec's header, where it has one."""
    if len(record) < _HEADER.size:
        return record
    num_labels = _HEADER.unpack_from(record)[0]
    size = _HEADER.size + 4 * num_labels
    return record[size:] if num_labels <= _MOST_LABELS and size < len(record) else record


def _malformed(number: int, why: str) -> RequestError:
    return RequestError(400, f"record {number} is not RecordIO: {why}")

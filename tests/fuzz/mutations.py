"""Bytes that were right once, changed in the ways that break parsers."""

import struct
import zlib

from hypothesis import strategies as st

# Sizes, counts and offsets that somebody forgot about.
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEAD_BYTES = 600  # where most of a file's structure lies


@st.composite
def changed(draw, originals, most=6):
    """One of the originals after up to `most` changes; sometimes as it was."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, most))):
        if not data:
            break
        end = len(data) - 1
        start = draw(st.integers(0, min(end, HEAD_BYTES)) | st.integers(0, end))
        length = draw(st.integers(1, 16) | st.integers(1, len(data)))
        _change(draw, data, start, length, originals)
    return mended(bytes(data)) if draw(st.booleans()) else bytes(data)


def _change(draw, data, start, length, originals):
    kind = draw(st.integers(0, 6))
    if kind == 0:
        data[start] ^= draw(st.integers(1, 255))
    elif kind == 1:
        width, letter = draw(st.sampled_from([(1, "B"), (2, "H"), (4, "I")]))
        number = draw(st.sampled_from(NUMBERS)) % (1 << 8 * width)
        order = draw(st.sampled_from("<>"))
        data[start : start + width] = struct.pack(order + letter, number)
    elif kind == 2:
        del data[start : start + length]
    elif kind == 3:
        data[start:start] = data[start : start + min(length, 4096)] * draw(st.integers(1, 20))
    elif kind == 4:
        data[start:start] = draw(st.binary(min_size=1, max_size=16))
    elif kind == 5:
        other = draw(st.sampled_from(originals))
        data[start : start + length] = other[start : start + length]
    else:
        del data[start:]


def mended(data):
    """A PNG with the checksums of what it now holds, so that a reader gets past them."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    whole, position = data[:8], 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        body = data[position + 4 : position + 8 + length]
        if len(body) < 4 + length:
            break
        whole += data[position : position + 4] + body + struct.pack(">I", zlib.crc32(body))
        position += 12 + length
    return whole + data[position:]

"""Bombs: small files that cost much, seen in their bytes before a decoder trusts them.

What a picture's own size says is checked elsewhere; this is about what it does not say. Both
checks count bytes that cannot be missed, so a file may be refused that is harmless, never the
other way round, and what cameras and programs write is far below the limits.
"""

import struct

from contract.errors import ImageTooLargeError

# A progressive JPEG of 64 million pixels takes 10 to 20 ms and 100 bytes for each scan. Encoders
# write about ten of them.
MAX_SCANS = 100
# The decoder keeps 12 kB for each tile of a JPEG 2000, wanted or not; 65535 are possible in a
# file of 172 bytes. Tiles of 128 x 128 make 4,000 of the largest picture that we read.
MAX_TILES = 4096

_START_OF_SCAN = b"\xff\xda"
_CODESTREAM = b"\xff\x4f\xff\x51"  # start of codestream, and the marker of its sizes
_SIZES = struct.Struct(">4xIIIIIIII")  # length, capabilities, then picture and tiles


def check_scans(data: bytes) -> None:
    """For a progressive JPEG. Raises ImageTooLargeError."""
    scans = data.count(_START_OF_SCAN)
    if scans > MAX_SCANS:
        raise ImageTooLargeError(
            f"the picture has about {scans:,} scans; the limit is {MAX_SCANS}: save it anew"
        )


def check_tiles(data: bytes) -> None:
    """For a JPEG 2000. Raises ImageTooLargeError."""
    start = data.find(_CODESTREAM)
    while start >= 0 and start + len(_CODESTREAM) + _SIZES.size <= len(data):
        width, height, _, _, *tile = _SIZES.unpack_from(data, start + len(_CODESTREAM))
        across = _pieces(width, tile[0], tile[2])
        down = _pieces(height, tile[1], tile[3])
        if across * down > MAX_TILES:
            raise ImageTooLargeError(
                f"the picture has {across * down:,} tiles; the limit is {MAX_TILES:,}"
            )
        start = data.find(_CODESTREAM, start + 1)


def _pieces(length: int, piece: int, offset: int) -> int:
    """How many tiles lie along one side; none where the numbers make no sense."""
    return max(0, -(-(length - offset) // piece)) if piece else 0

"""Files of several formats, built byte by byte where no library would write what is wanted."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

RED = (230, 30, 20)
DEFLATE_BLOCK = 1 << 20


def red(width=40, height=30, mode="RGB"):
    """A picture that any colour network calls red."""
    return Image.new("RGB", (width, height), RED).convert(mode)


def encode(image, form, **options):
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def deflated_zeros(num_bytes):
    """So many zeros, a thousand times smaller, without holding them."""
    packer, pieces = zlib.compressobj(9), []
    while num_bytes > 0:
        pieces.append(packer.compress(bytes(min(num_bytes, DEFLATE_BLOCK))))
        num_bytes -= DEFLATE_BLOCK
    return b"".join([*pieces, packer.flush()])


def chunk(name, body=b"", length=None, checksum=None):
    """A PNG chunk; a lie where `length` or `checksum` is given."""
    length = len(body) if length is None else length
    checksum = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", length) + name + body + struct.pack(">I", checksum)


def png(width=8, height=8, *, depth=8, colour=2, before=b"", data=None, after=b""):
    """A PNG: by default 8 x 8, red, with more chunks before or after the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    if data is None:
        data = zlib.compress((b"\0" + bytes(RED) * width) * height)
    body = chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + after + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + body


def png_of_zeros(width, height, depth, colour):
    """As large as it says, and all its pixels are there."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = 1 + (width * depth * channels + 7) // 8
    return png(width, height, depth=depth, colour=colour, data=deflated_zeros(row * height))


def gif(frames, width=1, height=1, canvas=(1, 1)):
    """A GIF of empty frames, 15 bytes each."""
    head = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + bytes(RED) + b"\xff\xff\xff"
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02D\x01\x00"
    return head + frame * frames + b";"


def tiff(tags, pages=1, loops=False):
    """A TIFF of (tag, type, count, value) entries, the same on each page."""
    entries = b"".join(struct.pack("<HHII", *entry) for entry in sorted(tags))
    first = struct.pack("<H", len(tags)) + entries
    data = b"II*\0" + struct.pack("<I", 8) + first
    for _ in range(pages - 1):
        data += struct.pack("<I", len(data) + 4) + struct.pack("<H", len(tags)) + entries
    return data + struct.pack("<I", 8 if loops else 0)


def tiff_of(width, height, compression=1, pages=1, **changed):
    """A grey TIFF whose only strip is not there."""
    values = {
        "width": (256, 4, 1, width), "height": (257, 4, 1, height), "bits": (258, 3, 1, 8),
        "compression": (259, 3, 1, compression), "kind": (262, 3, 1, 1),
        "offset": (273, 4, 1, 8), "samples": (277, 3, 1, 1), "rows": (278, 4, 1, height),
        "bytes": (279, 4, 1, 20),
    }  # fmt: skip
    return tiff([*{**values, **changed}.values()], pages)


def riff(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def webp(width, height, frames=1):
    """An animation of red frames of 8 x 8 on a canvas of this size."""
    still = encode(red(8, 8), "WEBP", lossless=True)[12:]
    three = [struct.pack("<I", number)[:3] for number in (width - 1, height - 1, 7, 10)]
    body = riff(b"VP8X", b"\x02\0\0\0" + three[0] + three[1]) + riff(b"ANIM", b"\0" * 6)
    frame = b"\0" * 6 + three[2] + three[2] + three[3] + b"\0" + still
    body += riff(b"ANMF", frame) * frames
    return riff(b"RIFF", b"WEBP" + body)


def bmp(width, height, *, bits=24, compression=0, data=b""):
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + sizes + data


def ico(inner, side=16):
    """An icon that says it is small around a picture that need not be."""
    entry = struct.pack("<BBBBHHII", side, side, 0, 0, 1, 32, len(inner), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + inner


def box(name, body):
    return struct.pack(">I", 8 + len(body)) + name + body


def jpeg2000(width, height, tile=None, components=3, offset=0):
    """A JP2 file without pixels."""
    across, down = tile or (width, height)
    sizes = struct.pack(
        ">HIIIIIIIIH", 0, width, height, offset, offset, across, down, 0, 0, components
    )
    sizes += b"\x07\x01\x01" * components
    stream = b"\xff\x4f\xff\x51" + struct.pack(">H", len(sizes) + 2) + sizes
    stream += b"\xff\x52\x00\x0c\0\0\0\1\0\0\4\4\0\1" + b"\xff\x5c\x00\x04\x40\x40"
    stream += b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 14, 0, 1) + b"\xff\x93\xff\xd9"
    header = box(b"ihdr", struct.pack(">IIHBBBB", height, width, 3, 7, 7, 0, 0))
    header += box(b"colr", b"\1\0\0" + struct.pack(">I", 16))
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + box(b"jp2h", header) + box(b"jp2c", stream)


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body


def jpeg_of_scans(side, scans):
    """A progressive JPEG whose every scan says of all blocks at once that they are zero."""
    tables = encode(Image.new("L", (8, 8), 90), "JPEG")
    start = tables.index(b"\xff\xdb")
    quantisation = tables[start : start + 2 + struct.unpack_from(">H", tables, start + 2)[0]]
    blocks = (side // 8) ** 2
    one_code = bytes([1] + [0] * 15)  # a Huffman table of one symbol, written as a zero bit
    runs = "".join("0" + "1" * 14 for _ in range(-(-blocks // 32767)))
    runs += "1" * (-len(runs) % 8)
    packed = bytes(int(runs[i : i + 8], 2) for i in range(0, len(runs), 8))
    scan = segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + packed.replace(b"\xff", b"\xff\0")
    head = b"\xff\xd8" + quantisation
    head += segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\x01\x11\x00")
    head += segment(0xC4, b"\x00" + one_code + b"\x00") + segment(
        0xC4, b"\x10" + one_code + b"\xe0"
    )
    head += segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + bytes(-(-blocks // 8))
    return head + scan * scans + b"\xff\xd9"


def npy(array, **options):
    data = io.BytesIO()
    np.save(data, array, **options)
    return data.getvalue()


def npy_header(text, version=(1, 0), data=b""):
    """An array file with a header of our own making."""
    text = text.encode() + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data
